# GPP, a preprocessor for any text.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: gpp
    version: "2.27"
    license: "LGPL-3.0-or-later"
    homepage: "https://logological.org/gpp"
    src: (fetch debsrc gpp 2.27-1 --hash b3-3cnfxs6ifk57cbfxd4u4hnuznttnpt7jk6qwvaaz7frky4bnwvma)
    check: true
  }
}
