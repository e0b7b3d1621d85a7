# The library for PNG images, and pngfix.
use autoconf.nu
use zlib.nu

export def main [] {
  autoconf package {
    name: libpng
    version: "1.6.39"
    license: "libpng-2.0"
    homepage: "http://www.libpng.org/pub/png/libpng.html"
    src: (fetch debsrc libpng1.6 1.6.39-2+deb12u5 --hash b3-3zht2ljiwyvdwbqxgqdqpwlymubsfokcsbwdk4hrbdqww3gimqxa)
    packages: [(zlib)]
    commands: [pngfix png-fix-itxt]
  }
}
