# xa, a cross assembler for the 6502.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: xa65
    version: "2.3.14"
    license: "GPL-2.0-or-later"
    homepage: "https://www.floodgap.com/retrotech/xa/"
    src: (fetch debsrc xa 2.3.14-0.1 --hash b3-ritg5cgxudaihstcimxbuskrwuzsg3kiimr6x34weiixkwwusvbq)
    make: [CC=cc LD=cc LDFLAGS=]
    copy: {bin: [xa uncpk printcbm file65 reloc65 ldo65]}
  }
}
