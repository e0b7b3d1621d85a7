# pngcrush, which makes PNG images smaller.
use ../lib/makefile.nu
use ../lib/libpng.nu
use ../lib/zlib.nu

export def main [] {
  makefile package {
    name: pngcrush
    version: "1.8.13"
    license: Zlib
    homepage: "https://pmt.sourceforge.io/pngcrush/"
    src: (fetch debsrc pngcrush 1.8.13-0.1 --hash b3-6b7eo5pgw2lorgkhibpjdjdh42yid6np37yigleut33bwg5c4ega)
    packages: [(libpng) (zlib)]
    make: [CC=cc LD=cc]
    copy: {bin: [pngcrush]}
  }
}
