# Zopfli, which compresses as gzip does, slower and better.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: zopfli
    version: "1.0.3"
    license: "Apache-2.0"
    homepage: "https://github.com/google/zopfli"
    src: (fetch debsrc zopfli 1.0.3-1 --hash b3-ewekq2axmexs624mexjcey6o6losi3a2dypvjc6djq6jtssmujsa)
    make: [zopfli zopflipng]
    copy: {bin: [zopfli zopflipng]}
  }
}
