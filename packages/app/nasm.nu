# NASM, an assembler for x86.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: nasm
    version: "2.16.01"
    license: "BSD-2-Clause"
    homepage: "https://www.nasm.us/"
    src: (fetch debsrc nasm 2.16.01-1 --hash b3-4qi3j2yi3kggiwuowqihfobenpnxzmb2ytlbzyik2o4w74knxwcq)
    commands: [nasm ndisasm]
  }
}
