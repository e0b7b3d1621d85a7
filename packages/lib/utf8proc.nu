# utf8proc, a library for Unicode in UTF-8.
use makefile.nu

export def main [] {
  makefile package {
    name: utf8proc
    version: "2.8.0"
    license: MIT
    homepage: "https://juliastrings.github.io/utf8proc/"
    src: (fetch debsrc utf8proc 2.8.0-1 --hash b3-xtvxgetztu7olo2goad3eah6yp3cru76orsgcvae7amutkm2wsbq)
    make: [libutf8proc.a libutf8proc.pc prefix=/nuka/self]
    copy: {lib: [libutf8proc.a], include: [utf8proc.h], "lib/pkgconfig": [libutf8proc.pc]}
  }
}
