# hexedit, an editor of bytes.
use ../lib/autoreconf.nu
use ../lib/ncurses.nu

export def main [] {
  autoreconf package {
    name: hexedit
    version: "1.6"
    license: "GPL-2.0-or-later"
    homepage: "http://rigaux.org/hexedit.html"
    src: (fetch debsrc hexedit 1.6-1 --hash b3-kecxwf6pkkivxm3cza2wd75v6ngxmoqqgpwjlwsvitucvlllt5wa)
    packages: [(ncurses)]
  }
}
