# GNU Autoconf, which writes configure scripts.
use ../lib/autoconf.nu
use m4.nu
use perl.nu

export def main [] {
  autoconf package {
    name: autoconf
    version: "2.71"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/autoconf/"
    src: (fetch debsrc autoconf 2.71-3 --hash b3-ykvrjebprg76g6maxarf3nlbjbexmp373e7vg63optugetpqc6gq)
    packages: [(m4) (perl)]
    make: [MAKEINFO=true HELP2MAN=true]
    runs: [sh busybox m4 perl]
    commands: [autoconf autoheader autom4te autoreconf ifnames autoscan autoupdate]
  }
}
