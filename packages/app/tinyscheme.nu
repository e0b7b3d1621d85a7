# TinyScheme, a small interpreter of Scheme.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: tinyscheme
    version: "1.42"
    license: "BSD-3-Clause"
    homepage: "https://tinyscheme.sourceforge.net/"
    src: (fetch debsrc tinyscheme 1.42.svn.2020.06.04-2 --hash b3-zjz3agyek7eqfylcykk7sv2v2nse5p4duniugwm46lhsucewtcgq)
    make: [CC=cc PLATFORM_FEATURES= "FEATURES=-DUSE_DL=0 -DUSE_MATH=1 -DUSE_ASCII_NAMES=0 -DInitFile='\"/nuka/self/share/init.scm\"'" scheme]
    copy: {bin: [scheme], share: [init.scm]}
  }
}
