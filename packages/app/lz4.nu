# lz4, which compresses files fast.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: lz4
    version: "1.9.4"
    license: "BSD-2-Clause AND GPL-2.0-or-later"
    homepage: "https://lz4.org/"
    src: (fetch debsrc lz4 1.9.4-1 --hash b3-v3fyl5aeotoznxhvokeuzndsndc5uohrjw474bgkonz3dfsujqea)
    dir: programs
    make: ["PREFIX=/nuka/self" "POSIX_ENV=Yes"]
    finish: {|b|
      ^make -C ../lib liblz4.a $"SHELL=($env.SHELL)"
      mkdir $"($b.out)/lib" $"($b.out)/include"
      cp ../lib/liblz4.a $"($b.out)/lib"
      cp ../lib/lz4.h ../lib/lz4hc.h ../lib/lz4frame.h $"($b.out)/include"
    }
    commands: [lz4 unlz4 lz4cat lz4c]
  }
}
