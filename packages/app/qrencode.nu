# qrencode, which makes QR codes.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: qrencode
    version: "4.1.1"
    license: "LGPL-2.1-or-later"
    homepage: "https://fukuchi.org/works/qrencode/"
    src: (fetch debsrc qrencode 4.1.1-1 --hash b3-gt7cjmdi2e4ks7wp6jdgouc76uccvwop2ngi54jjwvpttbelyjua)
    configure: [--without-png --disable-thread-safety]
  }
}
