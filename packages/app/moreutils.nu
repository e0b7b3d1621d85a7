# Programs for pipes: sponge, pee, ifne, isutf8, mispipe and errno.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: moreutils
    version: "0.67"
    license: "GPL-2.0-or-later"
    homepage: "https://joeyh.name/code/moreutils/"
    src: (fetch debsrc moreutils 0.67-1 --hash b3-uk2nlrckhuigw2gtw6oelznp7uba4r6mhzaelch4be2jyebcggzq)
    make: [isutf8 ifne pee sponge mispipe errno]
    copy: {bin: [isutf8 ifne pee sponge mispipe errno]}
    runs: [sh]
  }
}
