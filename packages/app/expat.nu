# Expat, the XML parser, as a library, and xmlwf, which tells whether a file is well formed.
use ../toolchain/clang.nu
use ../lib/c.nu

export def main [] {
  derivation {
    name: expat
    version: "2.5.0"
    license: MIT
    homepage: "https://libexpat.github.io/"
    src: (fetch debsrc expat 2.5.0-1+deb12u2 --hash b3-ifyixwq34wofmefqznhxgltm46eaht3sya5gicsahh7pvo7yzkpq)
    packages: [(clang)]
    commands: [xmlwf]
    build: {|b|
      let code = $"($b.src)/expat"
      "#define XML_CONTEXT_BYTES 1024
       #define XML_DTD
       #define XML_NS
       #define BYTEORDER 1234
       #define HAVE_UNISTD_H
       #define HAVE_ARC4RANDOM_BUF
      " | save expat_config.h
      let flags = [-O2 -D_WASI_EMULATED_GETPID $"-I($env.PWD)" $"-I($code)/lib"]
      let objects = {|dir: string names: list<string>| c compile $b ($names | each {|n| $"($code)/($dir)/($n).c" }) --flags $flags }
      c archive (do $objects lib [xmlparse xmlrole xmltok]) $"($b.out)/lib/libexpat.a"
      mkdir $"($b.out)/include"
      cp $"($code)/lib/expat.h" $"($code)/lib/expat_external.h" $"($b.out)/include"
      c link $b [...(do $objects xmlwf [xmlwf xmlfile codepage readfilemap]) $"($b.out)/lib/libexpat.a"] $"($b.out)/bin/xmlwf" --flags [-lwasi-emulated-getpid]
    }
  }
}
