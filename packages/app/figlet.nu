# figlet, which makes large letters out of ordinary text.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: figlet
    version: "2.2.5"
    license: "BSD-3-Clause"
    homepage: "http://www.figlet.org/"
    src: (fetch debsrc figlet 2.2.5-3 --hash b3-wld6skmgw3lfdqmqx2metpdh6niw3y7hevntweze2k4adqoasmjq)
    make: ["prefix=/nuka/self" "MANDIR=/nuka/self/share/man" "XCFLAGS=-DTLF_FONTS -D__BEGIN_DECLS= -D__END_DECLS="]
  }
}
