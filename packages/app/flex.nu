# flex, which makes scanners.
use ../lib/autoconf.nu
use m4.nu

export def main [] {
  autoconf package {
    name: flex
    version: "2.6.4"
    license: "BSD-2-Clause"
    homepage: "https://github.com/westes/flex"
    src: (fetch debsrc flex 2.6.4-8.2 --hash b3-ahazke4ehbn7n6sh3vnn722ipqncw4asbu7mdkkfr7f7yiosatlq)
    packages: [(m4)]
  }
}
