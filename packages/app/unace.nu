# unace, which unpacks archives of ACE.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: unace
    version: "1.2b"
    license: "GPL-2.0-or-later"
    src: (fetch debsrc unace 1.2b-23 --hash b3-az7mhzovuivzvyykguzebixrb2n2grec4xvxv5q4wep35rdkxx7a)
    make: [-f unix/makefile CC=cc "CFLAGS=-O2 -DUNIX -DCASEINSENSE -DNOSTRICMP"]
    copy: {bin: [unace]}
  }
}
