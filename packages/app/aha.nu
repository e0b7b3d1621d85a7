# aha, which turns the colours of terminals into HTML.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: aha
    version: "0.5.1"
    license: "MPL-1.1 OR LGPL-2.0-or-later"
    homepage: "https://github.com/theZiz/aha"
    src: (fetch debsrc aha 0.5.1-3 --hash b3-dmgc24iwskuvywmmy7fy44wmli52aw34i5bbjflndseqspl45fdq)
    install: [PREFIX=/nuka/self]
  }
}
