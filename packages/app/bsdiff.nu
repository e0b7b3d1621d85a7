# bsdiff and bspatch, small patches of binary files.
use ../lib/makefile.nu
use ../lib/bzip2.nu

export def main [] {
  makefile package {
    name: bsdiff
    version: "4.3"
    license: "BSD-2-Clause"
    homepage: "https://www.daemonology.net/bsdiff/"
    src: (fetch debsrc bsdiff 4.3-23 --hash b3-6ofecr4ya7avo6wrqvpkspqox5u6f5mvtwrwmzgi5kz6wqefzwoa)
    packages: [(bzip2)]
    make: [-f /dev/null bsdiff bspatch LDLIBS=-lbz2] # its own makefile is for BSD's make
    copy: {bin: [bsdiff bspatch]}
  }
}
