# antiword, which reads documents of Word 6 to 2003.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: antiword
    version: "0.37"
    license: "GPL-2.0-or-later"
    homepage: "http://www.winfield.demon.nl/"
    src: (fetch debsrc antiword 0.37-16 --hash b3-75k6x36b5ncwm2cu3fl2tncdwn7jdc62pjbtjeycrwp2rhyuhugq)
    make: [-f Makefile.Linux CC=cc LD=cc antiword]
    copy: {bin: [antiword], "share/antiword": [Resources/*.txt Resources/fontnames]}
    wrap: {antiword: {env: {ANTIWORDHOME: /nuka/self/share/antiword}}}
  }
}
