# nyancat, a cat in a terminal.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: nyancat
    version: "1.5.2"
    license: NCSA
    homepage: "https://nyancat.dakko.us/"
    src: (fetch debsrc nyancat 1.5.2-0.2 --hash b3-mmnziwapee73snmp2rqoff7piqttvhdmzvrl7sl4q2yk5t4rrilq)
    copy: {bin: [src/nyancat]}
  }
}
