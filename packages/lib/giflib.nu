# The library for GIF images, and its programs.
use makefile.nu

export def main [] {
  makefile package {
    name: giflib
    version: "5.2.1"
    license: MIT
    homepage: "https://giflib.sourceforge.net/"
    src: (fetch debsrc giflib 5.2.1-2.5+deb12u1 --hash b3-eifcuj6k7jgzgn4w6qg4asnky5n5ir7n6eqcrya4rgadjiubsqla)
    make: [libgif.a gif2rgb gifbuild giffix giftext giftool gifclrmp]
    copy: {bin: [giftext gif2rgb gifbuild giffix giftool gifclrmp], lib: [libgif.a], include: [gif_lib.h]}
  }
}
