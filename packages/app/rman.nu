# PolyglotMan, which turns manual pages into HTML and other formats.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: rman
    version: "3.2"
    license: "Artistic-1.0"
    homepage: "https://polyglotman.sourceforge.net/"
    src: (fetch debsrc rman 3.2-9 --hash b3-qsukh5pjejfz5saedzeg4datheyxjserh53w3vw6p3xhno4sgjla)
    make: [CC=cc]
    copy: {bin: [rman]}
  }
}
