# nomarch, which unpacks archives of ARC.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: nomarch
    version: "1.4"
    license: "GPL-2.0-or-later"
    homepage: "http://www.svgalib.org/rus/nomarch.html"
    src: (fetch debsrc nomarch 1.4-5 --hash b3-chl475lrv7oabvaen4qqkp5stzjmmcqjnak52cmfk4ydlwqp527a)
    make: [CC=cc]
    copy: {bin: [nomarch], "share/man/man1": [nomarch.1]}
  }
}
