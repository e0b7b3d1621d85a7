# xdms, which unpacks disk images of the Amiga.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: xdms
    version: "1.3.2"
    license: "LicenseRef-public-domain"
    homepage: "https://zakalwe.fi/~shd/foss/xdms/"
    src: (fetch debsrc xdms 1.3.2-7 --hash b3-plxpr2osbvxu4hi7ibcopar5cg4ejwjpd7v6xm62vwa7cy3qn2za)
    make: ["CC=cc -std=gnu89"] # for its inline
    copy: {bin: [src/xdms]}
  }
}
