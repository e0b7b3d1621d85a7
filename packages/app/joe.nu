# Joe's Own Editor, which also is jmacs, jstar, jpico and rjoe.
use ../lib/autoconf.nu
use ../lib/ncurses.nu

export def main [] {
  autoconf package {
    name: joe
    version: "4.6"
    license: "GPL-2.0-or-later"
    homepage: "https://joe-editor.sourceforge.io/"
    src: (fetch debsrc joe 4.6-1.1 --hash b3-gtuy4muj7hilgjatormrowac6xoaveexxotvv47elnux2peaxx4q)
    packages: [(ncurses)]
    commands: [joe jmacs jstar jpico rjoe]
  }
}
