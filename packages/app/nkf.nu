# nkf, which changes the encoding of Japanese text.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: nkf
    version: "2.1.5"
    license: Zlib
    homepage: "https://osdn.net/projects/nkf/"
    src: (fetch debsrc nkf "1:2.1.5-1" --hash b3-flhwezfyhdrzzpcfcyojusukq5adz6fn2y6ocree6vmp2oqwftfa)
    copy: {bin: [nkf]}
  }
}
