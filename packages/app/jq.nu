# jq, a language for JSON.
use ../lib/autoreconf.nu
use ../lib/oniguruma.nu

export def main [] {
  autoreconf package {
    name: jq
    version: "1.6"
    license: MIT
    homepage: "https://jqlang.github.io/jq/"
    src: (fetch debsrc jq 1.6-2.1+deb12u2 --patches --hash b3-v5rx5by6bykduqxtu75vdabtxup73522oo7qfvf4okdtxkvpakda)
    packages: [(oniguruma)]
    configure: [--disable-maintainer-mode --disable-docs]
  }
}
