# GNU patch, which applies the output of diff.
use ../lib/autoconf.nu
use ed.nu

export def main [] {
  autoconf package {
    name: patch
    version: "2.7.6"
    license: "GPL-3.0-or-later"
    homepage: "https://savannah.gnu.org/projects/patch/"
    src: (fetch debsrc patch 2.7.6-7 --hash b3-mppxoqb24snowmoi4ilqfsni5mkc2qlhton2qexr2t5eti7qpzyq)
    packages: [(ed)]
  }
}
