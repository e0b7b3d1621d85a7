# rzip, which compresses large files with distant repeats.
use ../lib/autoconf.nu
use ../lib/bzip2.nu

export def main [] {
  autoconf package {
    name: rzip
    version: "2.1"
    license: "GPL-2.0-or-later"
    homepage: "https://rzip.samba.org/"
    src: (fetch debsrc rzip 2.1-4.1 --hash b3-y3nzjl7a2gk7yletzewrm4idwrblbyyz4b6e4p2ltinvnb5oks7a)
    packages: [(bzip2)]
    copy: {bin: [rzip]}
  }
}
