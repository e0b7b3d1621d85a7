# csv2latex, which turns tables into LaTeX.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: csv2latex
    version: "0.23.1"
    license: "GPL-3.0-or-later"
    homepage: "http://brouits.free.fr/csv2latex/"
    src: (fetch debsrc csv2latex 0.23.1-1 --hash b3-joqad6oecuqeyxazjdhvof7tdcho4w6pbmbaw73xouhmhlcs5ldq)
    make: ["GZIP=gzip -c"]
    copy: {bin: [csv2latex]}
  }
}
