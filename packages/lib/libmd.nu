# libmd, hashes as BSD's libraries have them.
use autoconf.nu

export def main [] {
  autoconf package {
    name: libmd
    version: "1.0.4"
    license: "BSD-3-Clause AND BSD-2-Clause"
    homepage: "https://www.hadrons.org/software/libmd/"
    src: (fetch debsrc libmd 1.0.4-2 --hash b3-4bz2u5aox6k7gx6cdb5wnfendwikcop72ibne2dkpxfrmfw6yz6q)
    check: true
  }
}
