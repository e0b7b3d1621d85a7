# Fairy-Max, which plays chess with pieces of one's own.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: fairymax
    version: "5.0b"
    license: "LicenseRef-public-domain"
    homepage: "https://home.hccnet.nl/h.g.muller/CVfairy.html"
    src: (fetch debsrc fairymax 5.0b-1 --patches --hash b3-grpbxipx2v626a42g4bx2ndwiiaxkqw6yadxqx5izcnoemcjxmyq)
    make: [fairydir=/nuka/self/share fairymax]
    copy: {bin: [fairymax], share: [data/fmax.ini]}
  }
}
