# MuJS, a small interpreter of JavaScript.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: mujs
    version: "1.3.2"
    license: ISC
    homepage: "https://mujs.com/"
    src: (fetch debsrc mujs 1.3.2-1 --hash b3-bpisd5tyfkkvqg2irnujt4iofeawkozmnlq5nzndulngwpai634a)
    make: [release prefix=/nuka/self HAVE_READLINE=no READLINE_LIBS= READLINE_CFLAGS=]
  }
}
