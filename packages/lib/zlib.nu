# The compression library behind gzip, zip and png.
use ../toolchain/clang.nu
use c.nu

export const version = "1.2.13"

# The source of both the library and its programs.
export def upstream [] {
  fetch debsrc zlib "1:1.2.13.dfsg-1" --hash b3-mxtqyrmjd432t54plwhkwuli7bxvzdwjg3isa5d6dnlc5mmmgghq
}

export def main [
  --minizip  # with minizip, which reads and writes zip files
] {
  derivation {
    name: zlib
    version: $version
    license: Zlib
    src: (upstream)
    packages: [(clang)]
    build: {|b|
      mut sources = (glob $"($b.src)/*.c")
      mut headers = [$"($b.src)/zlib.h" $"($b.src)/zconf.h"]
      if $minizip {
        let dir = $"($b.src)/contrib/minizip"
        $sources ++= ([ioapi unzip zip] | each {|m| $"($dir)/($m).c" })
        $headers ++= ([ioapi unzip zip crypt] | each {|m| $"($dir)/($m).h" })
      }
      let objects = (c compile $b $sources --flags [-O2 -DHAVE_UNISTD_H -DNOCRYPT $"-I($b.src)"])
      c archive $objects $"($b.out)/lib/libz.a"
      mkdir $"($b.out)/include"
      cp ...$headers $"($b.out)/include"
    }
  }
}
