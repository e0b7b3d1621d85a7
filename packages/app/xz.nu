# XZ Utils, which compress files well.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: xz
    version: "5.4.1"
    license: "0BSD AND GPL-2.0-or-later"
    homepage: "https://tukaani.org/xz/"
    src: (fetch debsrc xz-utils 5.4.1-1+deb12u1 --hash b3-pk4ntidb6r4dgyawdhfaxfcvdb4guit5sq4ap2aqzbcudddtrgua)
    commands: [xz unxz xzcat lzma xzdec lzmainfo]
  }
}
