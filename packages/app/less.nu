# less, which shows text page by page.
use ../lib/autoconf.nu
use ../lib/ncurses.nu

export def main [] {
  autoconf package {
    name: less
    version: "590"
    license: "GPL-3.0-or-later OR BSD-2-Clause"
    homepage: "https://www.greenwoodsoftware.com/less/"
    src: (fetch debsrc less 590-2.1~deb12u2 --patches --hash b3-fxkpb6vb4dmf2evuxeefydo5o7hp5bdaptpsaorioeiu6vjeqpva)
    packages: [(ncurses)]
    commands: [less lesskey lessecho]
  }
}
