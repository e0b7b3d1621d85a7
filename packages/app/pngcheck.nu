# pngcheck, which checks PNG images.
use ../lib/makefile.nu
use ../lib/zlib.nu

export def main [] {
  makefile package {
    name: pngcheck
    version: "3.0.3"
    license: "MIT AND GPL-2.0-or-later"
    homepage: "http://www.libpng.org/pub/png/apps/pngcheck.html"
    src: (fetch debsrc pngcheck 3.0.3-1 --hash b3-jqsob5d4hp6afzp6mllkwi6kaey2b77mddmqnnf3irq7jk5qt6zq)
    packages: [(zlib)]
    make: [-f Makefile.unx ZINC= "ZLIB=-lz" pngcheck]
    copy: {bin: [pngcheck]}
  }
}
