# tree, which lists folders as a tree.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: tree
    version: "2.1.0"
    license: "GPL-2.0-or-later"
    homepage: "http://mama.indstate.edu/users/ice/tree/"
    src: (fetch debsrc tree 2.1.0-1 --hash b3-qf7abcqwsqjwmdlnyrljnguvckisnzk7pjd256qnscupvziy2emq)
    install: ["DESTDIR=/nuka/build/stage/nuka/self/bin" "MANDIR=/nuka/build/stage/nuka/self/share/man"]
  }
}
