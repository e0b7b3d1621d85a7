# GNU Autoconf, which writes configure scripts.
use ../lib/autoconf.nu
use m4.nu
use perl.nu

export def main [] {
  let share = "/nuka/self/share/autoconf"
  # Its programs find each other and their files by these variables.
  let own = {
    AUTOM4TE: /nuka/self/bin/autom4te, AUTOCONF: /nuka/self/bin/autoconf, AUTOHEADER: /nuka/self/bin/autoheader
    autom4te_perllibdir: $share, AC_MACRODIR: $share, trailer_m4: $"($share)/autoconf/trailer.m4"
  }
  autoconf package {
    name: autoconf
    version: "2.71"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/autoconf/"
    src: (fetch debsrc autoconf 2.71-3 --hash b3-ykvrjebprg76g6maxarf3nlbjbexmp373e7vg63optugetpqc6gq)
    packages: [(m4) (perl)]
    make: [MAKEINFO=true HELP2MAN=true]
    # Its list of languages names its folder.
    finish: {|b|
      let program = $"($b.out)/bin/autom4te"
      open --raw $program | str replace 'push @{$language{$lang}}, @words' 'push @{$language{$lang}}, map { s,^/nuka/self/share/autoconf,$pkgdatadir,r } @words' | save --force $program
      chmod +x $program
    }
    runs: [sh busybox m4 perl]
    wrap: ([autoconf autoheader autom4te autoreconf ifnames] | each {|name| {name: $name, with: {env: $own}} }
      | append ([autoscan autoupdate] | each {|name| {name: $name, with: {args: [-B $share], env: $own}} })
      | reduce --fold {} {|w, all| $all | insert $w.name $w.with })
    commands: [autoconf autoheader autom4te autoreconf ifnames autoscan autoupdate]
  }
}
