# The programs of the W3C for HTML and XML: hxselect, hxnormalize and others.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: html-xml-utils
    version: "7.7"
    license: "W3C"
    homepage: "https://www.w3.org/Tools/HTML-XML-utils/"
    src: (fetch debsrc html-xml-utils 7.7-1.1 --hash b3-h22bbmxvzobke7qm73nkg5gpqqypkc6zkc6i7urq3usdk2fbf2wq)
    check: true
    commands: [hxselect hxnormalize hxpipe hxunpipe hxtoc hxcount hxextract hxclean hxprune hxremove hxnum hxwls hxunent asc2xml xml2asc]
  }
}
