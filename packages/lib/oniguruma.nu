# Oniguruma, regular expressions of many dialects.
use autoreconf.nu

export def main [] {
  autoreconf package {
    name: oniguruma
    version: "6.9.8"
    license: "BSD-2-Clause"
    homepage: "https://github.com/kkos/oniguruma"
    src: (fetch debsrc libonig 6.9.8-1 --hash b3-ftgrbi4um6k6tjc4balbsk2h6udb22xueabki2hf6yue245uybca)
  }
}
