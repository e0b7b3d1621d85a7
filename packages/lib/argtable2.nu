# Argtable, which reads the arguments of programs in C.
use autoconf.nu

export def main [] {
  autoconf package {
    name: argtable2
    version: "13"
    license: "LGPL-2.0-or-later"
    homepage: "https://argtable.sourceforge.net/"
    src: (fetch debsrc argtable2 13-1.1 --hash b3-dhlbp64v5z3gndfbfbjvuoa6flt2nkjs3yqjvcsmgcfwkhm65vtq)
    check: true
  }
}
