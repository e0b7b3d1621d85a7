# calc, a calculator of any precision with a language like C.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: calc
    version: "2.12.7.2"
    license: "LGPL-2.1-only"
    homepage: "http://www.isthe.com/chongo/tech/comp/calc/"
    src: (fetch debsrc calc 2.12.7.2-4 --hash b3-eycy4q3stk3gkjqycbiusldr3mr7tvvcyogfmkz3xddqisfz2hna)
    make: [-j1 target=simple CC=cc LCC=cc HAVE_FPOS=-DHAVE_NO_FPOS CALCPAGER=cat COL=cat "EXTRA_LDFLAGS=-Wl,--allow-function-casts"]
    install: ["T=/nuka/build/stage" PREFIX=/nuka/self BINDIR=/nuka/self/bin CALC_SHAREDIR=/nuka/self/share/calc]
    finish: {|b| rm -r $"($b.out)/share/calc/help" } # no variable tells calc where it is
    wrap: {calc: {env: {CALCPATH: ".:/nuka/self/share/calc", CALCRC: "/nuka/self/share/calc/startup"}}}
  }
}
