# GNU ed, the standard text editor.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: ed
    version: "1.19"
    license: "GPL-2.0-or-later"
    homepage: "https://www.gnu.org/software/ed/"
    src: (fetch debsrc ed 1.19-1 --hash b3-kp67iosqpgvkunum5imzlrhrs75c42jdt2hreqjwuvellutj3l4q)
    check: true
  }
}
