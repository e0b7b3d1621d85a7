# GNU awk, which processes text by patterns.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: gawk
    version: "5.2.1"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/gawk/"
    src: (fetch debsrc gawk "1:5.2.1-2")
    configure: [--disable-extensions]
  }
}
