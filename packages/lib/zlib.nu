# The compression library behind gzip, zip and png.
use autoconf.nu

export const version = "1.2.13"

# The source of both the library and its programs.
export def upstream [] {
  fetch debsrc zlib "1:1.2.13.dfsg-1" --hash b3-mxtqyrmjd432t54plwhkwuli7bxvzdwjg3isa5d6dnlc5mmmgghq
}

export def main [
  --minizip  # with minizip, which reads and writes zip files
] {
  autoconf package {
    name: zlib
    version: $version
    license: Zlib
    homepage: "https://zlib.net/"
    src: (upstream)
    check: true
    configure: [--static]
    finish: (if $minizip {
      {|b|
        cd contrib/minizip
        ^cc -O2 -DNOCRYPT -I../.. -c ioapi.c unzip.c zip.c
        ^ar rs $"($b.out)/lib/libz.a" ioapi.o unzip.o zip.o
        cp ioapi.h unzip.h zip.h crypt.h $"($b.out)/include"
      }
    })
  }
}
