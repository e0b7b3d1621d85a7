# bchunk, which turns bin and cue images of discs into iso and cdr.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: bchunk
    version: "1.2.2"
    license: "GPL-2.0-or-later"
    homepage: "http://he.fi/bchunk/"
    src: (fetch debsrc bchunk 1.2.2+git20220715+ds-2 --hash b3-dlstjtgtnxn3wdg3lfgo7s2nzezsdsmad3bwqguanx7vnsilkrva)
    make: [CC=cc LD=cc]
    install: [PREFIX=/nuka/self MAN_DIR=/nuka/self/share/man]
  }
}
