# file, which tells what a file is.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: file
    version: "5.44"
    license: "BSD-2-Clause"
    homepage: "https://www.darwinsys.com/file/"
    src: (fetch debsrc file "1:5.44-3" --hash b3-ldofyt2uz6qyxei3cr4w7dmgiouuxt3pmelbd3fv66k3eycbsa2q)
    check: true
  }
}
