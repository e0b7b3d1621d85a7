# less, which shows text page by page.
use ../lib/autoconf.nu
use ../lib/ncurses.nu

export def main [] {
  autoconf package {
    name: less
    version: "590"
    license: "GPL-3.0-or-later OR BSD-2-Clause"
    homepage: "https://www.greenwoodsoftware.com/less/"
    src: (fetch debsrc less 590-2.1~deb12u2 --hash b3-ddleibuqes7r2lc5l3xlg7ahymt7f3cajtrsy6oon4d5nkrzoq4a)
    packages: [(ncurses)]
  }
}
