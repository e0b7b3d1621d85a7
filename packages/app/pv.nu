# pv, which shows how data goes through a pipe.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: pv
    version: "1.6.20"
    license: "Artistic-2.0"
    homepage: "https://www.ivarch.com/programs/pv.shtml"
    src: (fetch debsrc pv 1.6.20-1 --hash b3-ohvxl6wxf7nl4yxrmwcvepuyfphjntbhybhl66x7jywxuzgp2qwa)
  }
}
