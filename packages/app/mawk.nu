# mawk, a small and fast AWK.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: mawk
    version: "1.3.4-20200120"
    license: "GPL-2.0-only"
    homepage: "https://invisible-island.net/mawk/"
    src: (fetch debsrc mawk 1.3.4.20200120-3.1)
  }
}
