# The compression library of bzip2.
use ../toolchain/clang.nu
use c.nu

export const version = "1.0.8"

# The source of both the library and the program.
export def upstream [] {
  fetch crate bzip2-sys 0.1.13+1.0.8 --hash b3-mnasmxtofv3axuoj2f2tuant6zxhz3d5e47ggoavqs2r45salwnq
}

export def main [] {
  derivation {
    name: libbzip2
    version: $version
    license: "bzip2-1.0.6"
    src: (upstream)
    packages: [(clang)]
    build: {|b|
      let dir = $"($b.src)/bzip2-1.0.8"
      let names = [blocksort huffman crctable randtable compress decompress bzlib]
      let objects = (c compile $b ($names | each {|n| $"($dir)/($n).c" }) --flags [-O2 -D_FILE_OFFSET_BITS=64])
      c archive $objects $"($b.out)/lib/libbz2.a"
      mkdir $"($b.out)/include"
      cp $"($dir)/bzlib.h" $"($b.out)/include"
    }
  }
}
