# ccd2iso, which turns images of CloneCD into iso.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: ccd2iso
    version: "0.3"
    license: "GPL-2.0-or-later"
    homepage: "https://ccd2iso.sourceforge.net/"
    src: (fetch debsrc ccd2iso 0.3-7 --hash b3-ee3nxd52davbzinav7exjfw27hoa3qdq5v2znwtxb6rzs4hlvlqq)
  }
}
