# LZO, a library that compresses fast.
use autoconf.nu

export def main [] {
  autoconf package {
    name: lzo
    version: "2.10"
    license: "GPL-2.0-or-later"
    homepage: "https://www.oberhumer.com/opensource/lzo/"
    src: (fetch debsrc lzo2 2.10-2 --hash b3-xo74w6kt6lfjk2tc7p7mol6q7ndmfvd6s35gjniy72ps6hxtpmhq)
    check: true
  }
}
