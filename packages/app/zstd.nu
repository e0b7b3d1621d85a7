# Zstandard, which compresses fast and well.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: zstd
    version: "1.5.4"
    license: "BSD-3-Clause OR GPL-2.0-only"
    homepage: "https://facebook.github.io/zstd/"
    src: (fetch debsrc libzstd 1.5.4+dfsg2-5 --hash b3-cvpojhjbjvmu52iasskv5kki2xayt3gnllzw2cfc7euf4z7i7pba)
    dir: programs
    make: [zstd "CC=cc -include stdio.h" ZSTD_NO_ASM=1 HAVE_THREAD=0 BACKTRACE=0 ZSTD_LEGACY_SUPPORT=0]
    copy: {bin: [zstd], "share/man/man1": [zstd.1]}
    finish: {|b| for name in [unzstd zstdcat] { symlink zstd $"($b.out)/bin/($name)" } }
    commands: [zstd unzstd zstdcat]
  }
}
