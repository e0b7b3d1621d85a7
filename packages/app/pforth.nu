# pForth, an interpreter of Forth.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: pforth
    version: "2.0.1"
    license: "0BSD"
    homepage: "http://www.softsynth.com/pforth/"
    src: (fetch debsrc pforth "1:2.0.1-1" --hash b3-7rmkwwhs2mqso2y2tzlb4xkjpjv7rjrhxoqrm3wjdl4vst5mgexq)
    dir: platforms/unix
    copy: {bin: [pforth_standalone]}
  }
}
