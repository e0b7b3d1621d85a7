# LibTomMath, numbers of any size.
use makefile.nu

export def main [] {
  makefile package {
    name: libtommath
    version: "1.2.0"
    license: Unlicense
    homepage: "https://www.libtom.net/LibTomMath/"
    src: (fetch debsrc libtommath 1.2.0-6+deb12u1 --hash b3-mdpq5usn7zimwlqq5mx35k7anx2hwwnccp4sc5salzp46lcwszhq)
    make: [libtommath.a]
    copy: {lib: [libtommath.a], include: [tommath.h]}
  }
}
