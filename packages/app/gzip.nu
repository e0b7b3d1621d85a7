# GNU gzip, which compresses files.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: gzip
    version: "1.12"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/gzip/"
    src: (fetch debsrc gzip 1.12-1 --hash b3-tmtxnjxsvhokq7bskitb3twu4pnngrj6nx3ps5x77ifrc5ttxsfa)
    commands: [gzip gunzip zcat]
  }
}
