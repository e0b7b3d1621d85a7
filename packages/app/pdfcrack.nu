# pdfcrack, which finds lost passwords of PDF files.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: pdfcrack
    version: "0.20"
    license: "GPL-2.0-or-later"
    homepage: "https://pdfcrack.sourceforge.net/"
    src: (fetch debsrc pdfcrack 0.20-1 --hash b3-72ztiys44nak643vsseefgoxbwwqut6ozjvcmyjah2ctvcgpntia)
    copy: {bin: [pdfcrack]}
  }
}
