# GNU nano, an editor.
use ../lib/autoconf.nu
use ../lib/ncurses.nu

export def main [] {
  autoconf package {
    name: nano
    version: "7.2"
    license: "GPL-3.0-or-later"
    homepage: "https://www.nano-editor.org/"
    src: (fetch debsrc nano 7.2-1+deb12u1 --hash b3-4xjfxsjb42n6mewlicwf6tfh2rrexplllkwjvgss3yowjpzxj5uq)
    packages: [(ncurses)]
    commands: [nano]
  }
}
