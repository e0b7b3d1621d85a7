# LibLZF, which compresses very fast.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: liblzf
    version: "3.6"
    license: "BSD-2-Clause OR GPL-2.0-or-later"
    homepage: "http://oldhome.schmorp.de/marc/liblzf.html"
    src: (fetch debsrc liblzf 3.6-3 --hash b3-uw77vonw2jkcmiicrb36jkncgmt5thzkg5pnblbmratdxx7iulna)
    install: [prefix=/nuka/build/stage/nuka/self]
    commands: [lzf]
  }
}
