# dos2unix, which changes the ends of lines.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: dos2unix
    version: "7.4.3"
    license: "BSD-2-Clause"
    homepage: "https://dos2unix.sourceforge.io/"
    src: (fetch debsrc dos2unix 7.4.3-1 --hash b3-g5v2xzaoxn2a4kbi32bkyverthxqriivt557hhrc5mg2fat7r6fa)
    make: [ENABLE_NLS=]
    install: [prefix=/nuka/self install-bin]
  }
}
