# signify of OpenBSD, which signs files and checks signatures.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: signify
    version: "31"
    license: ISC
    homepage: "https://github.com/aperezdc/signify"
    src: (fetch debsrc signify-openbsd 31-3 --hash b3-linvmkfucyamez5v5merox5ga4ppqmcol745lszgdodeeevmkkaq)
    make: ["BUNDLED_LIBBSD=1" "EXTRA_CFLAGS=-O2 '-D__GLIBC_PREREQ(a,b)=0'"] # which its headers of libbsd define in one that is not theirs here
    copy: {bin: [signify]}
  }
}
