# zlib's own small gzip: minigzip [-d] < in > out.
use ../toolchain/clang.nu
use ../lib/zlib.nu
use ../lib/c.nu

export def main [] {
  derivation {
    name: minigzip
    version: $zlib.version
    license: Zlib
    src: (zlib upstream)
    packages: [(clang) (zlib)]
    build: {|b|
      let flags = [-O2 -DHAVE_UNISTD_H $"-I($b.packages.zlib)/include"]
      let objects = (c compile $b [$"($b.src)/test/minigzip.c"] --flags $flags)
      c link $b [...$objects $"($b.packages.zlib)/lib/libz.a"] $"($b.out)/bin/minigzip"
    }
  }
}
