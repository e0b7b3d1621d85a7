# GNU make, which builds what has changed.
# It runs the makefiles of other packages, so it is built without a shell and without make: the answers of its
# configure script lie beside this file.
use ./clang.nu
use ./posix.nu
use ../lib/c.nu

export const version = "4.3"

export def main [] {
  derivation {
    name: make
    version: $version
    role: tool
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/make/"
    src: {code: (fetch debsrc make-dfsg 4.3-4.1 --hash b3-oavnzhz45rgkij4ukfjx72kvihe5anjyeyjnc35i37ivcguietoq), seeds: (fetch path ./make)}
    packages: [(clang) (posix)]

    build: {|b|
      let code = $b.src.code
      mkdir include
      for name in [glob fnmatch] { cp $"($code)/lib/($name).in.h" $"include/($name).h" }
      # Its answers stand before what the template has beside them.
      let template = (open --raw $"($code)/src/config.h.in" | lines | where {|l| $l !~ '^#\s*undef' } | str join "\n")
      $"#include \"($b.src.seeds)/config.h\"\n($template)\n" | save include/config.h
      let parts = [ar arscan commands default dir expand file function getopt getopt1 guile hash implicit job load loadapi main misc output posixos
        read remake remote-stub rule signame strcache variable version vpath]
      let library = [concat-filename findprog-in fnmatch glob]
      let sources = [...($parts | each {|n| $"($code)/src/($n).c" }) ...($library | each {|n| $"($code)/lib/($n).c" })]
      let objects = (c compile $b $sources --flags [
        -O2 -w -DHAVE_CONFIG_H $"-I($env.PWD)/include" $"-I($code)/src" $"-I($code)/lib"
        '-DLIBDIR="/usr/lib"' '-DINCLUDEDIR="/usr/include"' '-DLOCALEDIR="/usr/share/locale"' ...(posix flags $b.packages.posix)
      ])
      posix link $b $objects $"($b.out)/bin/make" --envp
      symlink make $"($b.out)/bin/gmake"
    }
  }
}
