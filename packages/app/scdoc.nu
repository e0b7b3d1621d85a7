# scdoc, which makes manual pages of plain text.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: scdoc
    version: "1.11.2"
    license: MIT
    homepage: "https://git.sr.ht/~sircmpwn/scdoc"
    src: (fetch debsrc scdoc 1.11.2-1 --hash b3-nfubzqgrmmniaenv42gzybaaz4upecj6lh77bl354ad5f663xijq)
    make: ['MAINFLAGS=-DVERSION=\"1.11.2\"'] # without -Werror
    check: [check]
    install: [PREFIX=/nuka/self]
  }
}
