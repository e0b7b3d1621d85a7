# diffstat, which counts the lines that a patch changes.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: diffstat
    version: "1.65"
    license: MIT
    homepage: "https://invisible-island.net/diffstat/"
    src: (fetch debsrc diffstat 1.65-1 --hash b3-nv325o4dmu7k4eeyyylwbmhcseacsdposw2yr245kftzymfliyha)
    check: true
  }
}
