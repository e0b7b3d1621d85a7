# pkgconf, which tells compilers where libraries are, as pkg-config.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: pkgconf
    version: "1.8.1"
    role: tool
    license: ISC
    homepage: "http://pkgconf.org/"
    src: (fetch debsrc pkgconf 1.8.1-1 --hash b3-oztshjxxniyrsr7dk7qkvceqptsav5l2tacoa6myh57oi6en4aea)
    commands: [pkgconf pkg-config]
    finish: {|b| symlink pkgconf $"($b.out)/bin/pkg-config" }
  }
}
