# TRE, which matches regular expressions with errors, and agrep.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: tre
    version: "0.8.0"
    license: "BSD-2-Clause"
    homepage: "https://laurikari.net/tre/"
    src: (fetch debsrc tre 0.8.0-7 --hash b3-oergamm75rdfjieuxhdhuro7lq2pkqdeuiop5hyzsimvmbebwjfa)
    commands: [agrep]
  }
}
