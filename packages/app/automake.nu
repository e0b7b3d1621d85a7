# GNU Automake, which writes makefiles.
use ../lib/autoconf.nu
use m4.nu
use perl.nu
use autoconf.nu

export def main [] {
  autoconf package {
    name: automake
    version: "1.16.5"
    license: "GPL-2.0-or-later"
    homepage: "https://www.gnu.org/software/automake/"
    src: (fetch debsrc automake-1.16 1:1.16.5-1.3 --hash b3-zhny237hvxmuduaxcrd2wnhujbijyaj4ja6duoam23ptdmnmngyq)
    packages: [(m4) (perl) (autoconf)]
    make: [MAKEINFO=true]
    # The names with the version are copies.
    finish: {|b| for name in [aclocal automake] { rm $"($b.out)/bin/($name)-1.16"; symlink $name $"($b.out)/bin/($name)-1.16" } }
    runs: [sh busybox perl autoconf]
    commands: [automake aclocal]
  }
}
