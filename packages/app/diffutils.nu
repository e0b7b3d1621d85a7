# GNU diffutils, which show how files differ: diff, cmp, diff3 and sdiff.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: diffutils
    version: "3.8"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/diffutils/"
    src: (fetch debsrc diffutils "1:3.8-4" --hash b3-vgm7zbcfkqsacxby7f32urmjv6q7iw2yvfsb5nenahfcpgaunv2a)
    commands: [diff cmp diff3 sdiff]
  }
}
