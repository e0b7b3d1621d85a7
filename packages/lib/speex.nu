# Speex, which encodes speech.
use autoconf.nu

export def main [] {
  autoconf package {
    name: speex
    version: "1.2.1"
    license: "BSD-3-Clause"
    homepage: "https://www.speex.org/"
    src: (fetch debsrc speex 1.2.1-2 --hash b3-bqdcdcgkb2ccwqa7raapcyuwobqxhrl4fgrdnc3nkzk2a43k4lwq)
    check: true
  }
}
