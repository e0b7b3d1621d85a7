# nInvaders, a game of space invaders.
use ../lib/makefile.nu
use ../lib/ncurses.nu

export def main [] {
  makefile package {
    name: ninvaders
    version: "0.1.1"
    license: "GPL-2.0-or-later"
    homepage: "https://ninvaders.sourceforge.net/"
    src: (fetch debsrc ninvaders 0.1.1-4.1 --hash b3-aw5b3tknqzi6fxr7rzzyaoj2adk5fk3fk5eujy76nbwka2ik5sga)
    packages: [(ncurses)]
    make: ["LDFLAGS=-Wl,--allow-multiple-definition"]
    copy: {bin: [nInvaders]}
  }
}
