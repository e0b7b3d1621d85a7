# libconfig, files of settings.
use autoconf.nu

export def main [] {
  autoconf package {
    name: libconfig
    version: "1.5"
    license: "LGPL-2.1-or-later"
    homepage: "https://hyperrealm.github.io/libconfig/"
    src: (fetch debsrc libconfig 1.5-0.4 --hash b3-5tyyjdizqquhorgxgafxi2d746jmtmy2val63ilg3tpag4ua7znq)
    configure: [--disable-cxx --disable-examples]
  }
}
