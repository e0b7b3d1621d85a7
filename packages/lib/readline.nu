# GNU Readline, which reads and edits lines.
use autoconf.nu
use ncurses.nu

export def main [] {
  autoconf package {
    name: readline
    version: "8.2"
    license: "GPL-3.0-or-later"
    homepage: "https://tiswww.case.edu/php/chet/readline/rltop.html"
    src: (fetch debsrc readline 8.2-1.3 --hash b3-yf4ptj6onjjdrq6bncgoqggz47mnd6u4clc5d74mzthpg2krk3hq)
    packages: [(ncurses)]
    configure: [--with-curses]
  }
}
