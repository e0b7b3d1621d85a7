# clzip, lzip in C.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: clzip
    version: "1.13"
    license: "GPL-2.0-or-later"
    homepage: "https://www.nongnu.org/lzip/clzip.html"
    src: (fetch debsrc clzip 1.13-5 --hash b3-46vgxbh6hrfwowcck6fwxyyd5n2amksabvf5fiuh3z6txh4jrz6q)
    check: true
  }
}
