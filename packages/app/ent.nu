# ent, which measures how random bytes are.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: ent
    version: "1.2"
    license: "LicenseRef-public-domain"
    homepage: "https://www.fourmilab.ch/random/"
    src: (fetch debsrc ent 1.2debian-3 --hash b3-63nxry5sbf42ayymt6nfhsfcvcf5mdwob7tamhbxdsv5bhokjcya)
    make: [CC=cc]
    copy: {bin: [ent]}
  }
}
