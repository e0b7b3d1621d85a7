# Tcl, the language of commands.
use ../lib/autoconf.nu
use ../lib/zlib.nu

export def main [] {
  autoconf package {
    name: tcl
    version: "8.6.13"
    license: TCL
    homepage: "https://www.tcl-lang.org/"
    src: (fetch debsrc tcl8.6 8.6.13+dfsg-2 --hash b3-6kibdgyrtj43mtgtxw3vqvx2cvz45opadlwmepwsx6tgvnnawx4a)
    dir: unix
    packages: [(zlib)]
    configure: [--disable-threads --disable-shared --disable-load --without-tzdata]
    install: [INSTALL_DOC_TARGETS=]
    finish: {|b| symlink tclsh8.6 $"($b.out)/bin/tclsh" }
    commands: [tclsh tclsh8.6]
  }
}
