# Perl 5, with its modules.
use ../lib/makefile.nu

# Answers that Configure does not find, or that name folders of this build.
const answers = "
sh=/bin/sh startsh='#!/bin/sh' targetsh=/bin/sh full_ar=ar full_sed=sed lns='ln -s' rm_try='rm -f try'
incpth= libpth= libsdirs= libsfound= libspath= timeincl=
d_gethostprotos=define d_getnetprotos=define d_getprotoprotos=define d_getservprotos=define
installprefix=/nuka/self installprefixexp=/nuka/self installbin=/nuka/self/bin installscript=/nuka/self/bin
installprivlib=/nuka/self/lib/perl5/5.36.0 installarchlib=/nuka/self/lib/perl5/5.36.0/wasm32-wasi-64int
installsitelib=/nuka/self/lib/perl5/site_perl installsitearch=/nuka/self/lib/perl5/site_perl installsitebin=/nuka/self/bin installsitescript=/nuka/self/bin
"

export def main [] {
  makefile package {
    name: perl
    version: "5.36.0"
    license: "Artistic-1.0-Perl OR GPL-1.0-or-later"
    homepage: "https://www.perl.org"
    src: (fetch debsrc perl 5.36.0-7+deb12u3 --patches --hash b3-zreu7fijlwb3vbtwxrysijtd7vqixixz5rwxndegrctkdwwpxyzq)
    # Configure is not autoconf's. The modules in C are part of the program, which finds the others from its own place.
    prepare: {|b|
      # Which file depends on which header is of use to those who edit them.
      "echo 'cp -f Makefile makefile' > makedepend\n" | save --force makedepend.SH
      $answers | save config.over
      (^sh ./Configure -des -Dcc=cc -Dprefix=/nuka/self -Duserelocatableinc -Dprocselfexe='"/proc/self/exe"' -Duse64bitint
        -Uusedl -Uuseshrplib -Uusethreads -Uusemymalloc -Uusenm '-Dnoextensions=threads threads/shared'
        -Dosname=wasi -Darchname=wasm32-wasi -Dman1dir=none -Dman3dir=none -Dcf_by=nuka -Dcf_email=nuka@nuka.invalid -Dperladmin=nuka@nuka.invalid
        -Dmyhostname=nuka -Dmydomain=.invalid -Accflags=-D_GNU_SOURCE -Doptimize=-O2 -Aldflags=-Wl,--allow-function-casts)
    }
    # make install would make the tables of Unicode a second time.
    install: false
    finish: {|b|
      ^./perl -Ilib -I. installperl --destdir=/nuka/build/stage
      for entry in (ls /nuka/build/stage/nuka/self) { mv $entry.name $b.out }
    }
    runs: [sh]
  }
}
