# awk of Aho, Weinberger and Kernighan, as they keep it.
use ../lib/makefile.nu
use byacc.nu

export def main [] {
  makefile package {
    name: original-awk
    version: "20220912"
    license: SMLNJ
    homepage: "https://github.com/onetrueawk/awk"
    src: (fetch debsrc original-awk 2022-09-12-1 --hash b3-ypxlk3rar3xezve5pc4xbitx2vazhjwfknyvggpmld5sbchb4j2q)
    packages: [(byacc)]
    make: [HOSTCC=cc CC=cc "YACC=yacc -d -b awkgram"]
    finish: {|b| mkdir $"($b.out)/bin"; cp a.out $"($b.out)/bin/original-awk" }
    install: false
    runs: [sh]
  }
}
