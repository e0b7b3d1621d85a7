# file, which tells what a file is.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: file
    version: "5.44"
    license: "BSD-2-Clause"
    homepage: "https://www.darwinsys.com/file/"
    src: (fetch debsrc file "1:5.44-3")
  }
}
