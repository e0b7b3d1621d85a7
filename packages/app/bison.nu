# GNU Bison, which makes parsers, with yacc.
use ../lib/autoconf.nu
use m4.nu

export def main [] {
  autoconf package {
    name: bison
    version: "3.8.2"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/bison/"
    src: (fetch debsrc bison "2:3.8.2+dfsg-1" --hash b3-jaco775tkxtcwjib4k7erdwbhfcy5oycuvt47ahogybiqgflfjcq)
    packages: [(m4)]
    configure: [--disable-threads]
    # Debian has no documentation. make must find its files, as old as the others.
    prepare: {|b|
      mkdir doc/figs
      for file in [bison.texi bison.info bison.info.bak figs/example.txt figs/example-reduce.txt figs/example-shift.txt] { "" | save $"doc/($file)"; ^touch -d 1980-01-01 $"doc/($file)" }
    }
    finish: {|b| rm -r $"($b.out)/share/info" }
    runs: [m4]
    commands: [bison yacc]
  }
}
