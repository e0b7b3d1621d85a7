# qprint, which encodes and decodes quoted-printable text.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: qprint
    version: "1.1"
    license: "LicenseRef-public-domain"
    homepage: "https://www.fourmilab.ch/webtools/qprint/"
    src: (fetch debsrc qprint 1.1.dfsg.2-2.1 --hash b3-wcqa76n7irrackozitnrddzdaw5c62m747ce5emirrkqcs6jzyzq)
    make: [qprint]
    copy: {bin: [qprint]}
  }
}
