# dasm, an assembler for 6502, 6507, 68705 and other processors of 8 bits.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: dasm
    version: "2.20.14.1"
    license: "GPL-2.0-or-later"
    homepage: "https://dasm-assembler.github.io/"
    src: (fetch debsrc dasm 2.20.15~20201109+really2.20.14.1-2 --hash b3-arzx3niudr2iyvoies5bvsvxwprwpgrctrukxxeasaagktxnucva)
    make: [CC=cc]
    copy: {bin: [bin/dasm bin/ftohex]}
  }
}
