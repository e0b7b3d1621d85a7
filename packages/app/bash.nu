# GNU bash, the shell of most systems.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: bash
    version: "5.2.15"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/bash/"
    src: (fetch debsrc bash 5.2.15-2 --hash b3-zkjjoyrc7ne4s7ujvjnid2o4j6lpppvjqw4tm2owpviozirn4lma)
    configure: [--without-bash-malloc "CFLAGS=-O2 -fcommon" "LDFLAGS=-Wl,--allow-function-casts"]
    config: {bash_cv_func_strtoimax: no} # which it takes for the contrary
  }
}
