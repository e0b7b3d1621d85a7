# GNU gzip, which compresses files.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: gzip
    version: "1.12"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/gzip/"
    src: (fetch debsrc gzip 1.12-1)
    commands: [gzip gunzip zcat]
  }
}
