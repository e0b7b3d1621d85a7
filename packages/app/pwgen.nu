# pwgen, which makes passwords that can be spoken.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: pwgen
    version: "2.08"
    license: "GPL-2.0-only"
    homepage: "https://github.com/tytso/pwgen"
    src: (fetch debsrc pwgen 2.08-2 --hash b3-4k3vk2z25ho5mhvskenkm36png2vq54e66v2yylf4qor3umknsea)
  }
}
