# dcraw, which develops raw photos of cameras.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: dcraw
    version: "9.28"
    license: "GPL-2.0-or-later"
    homepage: "https://www.dechifro.org/dcraw/"
    src: (fetch debsrc dcraw 9.28-3 --hash b3-ursxyv53z37wm62you6fllnwje4pwlbbnq4i23h3q62kjy3yf2uq)
    make: [-f /dev/null dcraw "CPPFLAGS=-DNO_JPEG -DNO_JASPER -DNO_LCMS -DNODEPS"] # it has no makefile
    copy: {bin: [dcraw]}
  }
}
