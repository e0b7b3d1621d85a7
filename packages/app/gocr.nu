# GOCR, which reads text in images.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: gocr
    version: "0.52"
    license: "GPL-2.0-or-later"
    homepage: "https://www-e.uni-magdeburg.de/jschulen/ocr/"
    src: (fetch debsrc gocr 0.52-6 --hash b3-5yk65kr4mna4gmll6driux2ipp4uct6rjxvricsqsatz5gohwg3a)
    prepare: {|b| ^sh ./configure --prefix=/nuka/self }
    copy: {bin: [src/gocr]}
  }
}
