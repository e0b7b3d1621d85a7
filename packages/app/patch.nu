# GNU patch, which applies the output of diff.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: patch
    version: "2.7.6"
    license: "GPL-3.0-or-later"
    homepage: "https://savannah.gnu.org/projects/patch/"
    src: (fetch debsrc patch 2.7.6-7)
    packages: [(ed)]
  }
}
