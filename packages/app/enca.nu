# Enca, which finds out the encoding of text.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: enca
    version: "1.19"
    license: "GPL-2.0-only"
    homepage: "https://cihar.com/software/enca/"
    src: (fetch debsrc enca 1.19-1.1 --hash b3-6irjgfcjucqbjwpdc272ordjaq4l2bkchnkks57fppxvonfx6mnq)
    commands: [enca enconv]
  }
}
