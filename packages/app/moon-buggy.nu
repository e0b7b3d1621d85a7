# Moon-Buggy, a game of driving on the moon.
use ../lib/autoconf.nu
use ../lib/ncurses.nu

export def main [] {
  autoconf package {
    name: moon-buggy
    version: "1.0.51"
    license: "GPL-2.0-or-later"
    homepage: "https://www.seehuhn.de/pages/moon-buggy.html"
    src: (fetch debsrc moon-buggy "1:1.0.51-13" --hash b3-pctxc7pxg5nutkwg2pd37o7i4zeuirgsrhjaa3afbt2c5hlrichq)
    packages: [(ncurses)]
    copy: {bin: [moon-buggy]} # make install writes scores
  }
}
