# dash, a small POSIX shell, built by itself.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: dash
    version: "0.5.12"
    license: "BSD-3-Clause"
    homepage: "http://gondor.apana.org.au/~herbert/dash/"
    src: (fetch debsrc dash 0.5.12-2 --hash b3-lvowdbw6qfvuwy5ha3eqjnbbcmkciqo22qt5mxeweviax5hboqkq)
  }
}
