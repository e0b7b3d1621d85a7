# libmspack, formats of archives of Microsoft, and cabinfo.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: libmspack
    version: "0.11"
    license: "LGPL-2.1-only"
    homepage: "https://www.cabextract.org.uk/libmspack/"
    src: (fetch debsrc libmspack 0.11-1 --hash b3-p2irpenbjgaayaygj2axq53u6gkgvaym3lwhfouegg5tdukjpp6q)
    commands: [cabrip chmextract msexpand oabextract]
  }
}
