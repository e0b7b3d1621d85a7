# jq, a language for JSON.
use ../lib/autoconf.nu
use ../lib/oniguruma.nu

export def main [] {
  autoconf package {
    name: jq
    version: "1.6"
    license: MIT
    homepage: "https://jqlang.github.io/jq/"
    src: (fetch debsrc jq 1.6-2.1+deb12u3 --hash b3-bsqphz4gydu3qj3wfq6xnsy5zwdyibzbz6agkbd6v6m4vizk4eta)
    packages: [(oniguruma)]
    configure: [--disable-docs --disable-maintainer-mode]
  }
}
