# Brotli, which compresses the text of the web.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: brotli
    version: "1.0.9"
    license: MIT
    homepage: "https://github.com/google/brotli"
    src: (fetch debsrc brotli 1.0.9-2 --hash b3-mgerw6sk7z7jewwjmfckt4rx2dnclsp4q5j5vkba47tmfsvacpqq)
    make: [brotli]
    copy: {bin: [bin/brotli]}
  }
}
