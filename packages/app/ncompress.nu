# compress, the first compressor of Unix.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: ncompress
    version: "4.2.4.6"
    license: Unlicense
    homepage: "https://vapier.github.io/ncompress/"
    src: (fetch debsrc ncompress 4.2.4.6-6 --hash b3-vc4gjznzaqplhyxog3b2cbac2uuz5ja7dhaddt4bs5asl53wpz2q)
    install: [PREFIX=/nuka/self]
  }
}
