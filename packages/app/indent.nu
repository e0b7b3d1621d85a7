# GNU indent, which lays out C.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: indent
    version: "2.2.12"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/indent/"
    src: (fetch debsrc indent 2.2.12-4+deb12u3 --patches --hash b3-ss4lbiyggw2xpsla7viby6jxa7mwftnijyesl4iq4vzvpmdiubqa)
    make: [-C src "CFLAGS=-O2 -Wno-error -include locale.h"]
    copy: {bin: [src/indent]}
  }
}
