# GNU Libtool: libtoolize and what packages copy of it.
use ../lib/autoconf.nu
use m4.nu

export def main [] {
  autoconf package {
    name: libtool
    version: "2.4.7"
    license: "GPL-2.0-or-later"
    homepage: "https://www.gnu.org/software/libtool/"
    src: (fetch debsrc libtool "2.4.7-7~deb12u1" --hash b3-42lncmqth2oufj4lwf4b4ywojoxxzzpctq4cjl4bp4thcf5kkpzq)
    packages: [(m4)]
    make: [MAKEINFO=true HELP2MAN=true]
    runs: [sh busybox m4]
    commands: [libtoolize libtool]
  }
}
