# mawk, a small and fast AWK.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: mawk
    version: "1.3.4-20200120"
    license: "GPL-2.0-only"
    homepage: "https://invisible-island.net/mawk/"
    src: (fetch debsrc mawk 1.3.4.20200120-3.1 --hash b3-xshpyruz2bpnay5kiyzri2kezvy26rl5vh3xgwtuwpn7hdy7rrwa)
  }
}
