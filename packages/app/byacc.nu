# Berkeley Yacc, which makes parsers.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: byacc
    version: "20221106"
    license: "LicenseRef-public-domain"
    homepage: "https://invisible-island.net/byacc/"
    src: (fetch debsrc byacc "1:2.0.20221106-1" --hash b3-5z4lphgxnt6jjrurjy4hnv6lnn532h7fjwwphclowcja32puqu7q)
    commands: [yacc]
  }
}
