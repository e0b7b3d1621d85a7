# GNU gperf, which makes perfect hash functions.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: gperf
    version: "3.1"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/gperf/"
    src: (fetch debsrc gperf 3.1-1 --hash b3-hfmzajf77u5gm34pmc3ed66dhj2kab7v3c5r3uwoynzpkn45z2oa)
    make: ["CXXFLAGS=-O2 -std=gnu++14"]
    check: true
  }
}
