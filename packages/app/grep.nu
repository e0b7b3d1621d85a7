# GNU grep, which searches text for a pattern.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: grep
    version: "3.8"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/grep/"
    src: (fetch debsrc grep 3.8-5 --hash b3-uizgui3ddctgr4w4adri5bxuz4dtvja5ftagsr7vh7um35j3lmbq)
    commands: [grep egrep fgrep]
  }
}
