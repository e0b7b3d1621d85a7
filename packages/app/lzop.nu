# lzop, which compresses fast.
use ../lib/autoconf.nu
use ../lib/lzo.nu

export def main [] {
  autoconf package {
    name: lzop
    version: "1.04"
    license: "GPL-2.0-or-later"
    homepage: "https://www.lzop.org/"
    src: (fetch debsrc lzop 1.04-2 --hash b3-fpzllfv46rr6wywdiploa37k2mc2yjojm4n4xyqypaqciwmkwtgq)
    packages: [(lzo)]
  }
}
