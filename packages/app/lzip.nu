# lzip, which compresses with LZMA and a checked format.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: lzip
    version: "1.23"
    license: "GPL-2.0-or-later"
    homepage: "https://www.nongnu.org/lzip/lzip.html"
    src: (fetch debsrc lzip 1.23-5 --hash b3-raimsrsos6mxbsnzwdrre7v53suzo3yu6275flknrgilx3bbaj7q)
    check: true
  }
}
