# GNU bc and dc, calculators of any precision.
use ../lib/autoconf.nu
use ed.nu

export def main [] {
  autoconf package {
    name: bc
    version: "1.07.1"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/bc/"
    src: (fetch debsrc bc 1.07.1-3 --hash b3-iwlltj3am6jt2bx4ejrery5grijlwzrtojt4ko34jse5vz7mtitq)
    packages: [(ed)]
    commands: [bc dc]
    make: ["MAKEINFO=true"]
  }
}
