# z80asm, an assembler for the Z80.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: z80asm
    version: "1.8"
    license: "GPL-3.0-or-later"
    homepage: "https://www.nongnu.org/z80asm/"
    src: (fetch debsrc z80asm 1.8-1.1 --hash b3-6xgy7lz7up46gn26z56p74wf7mchudacqf6b5qydko4dhp2cn4ba)
    make: [CC=cc]
    copy: {bin: [z80asm]}
  }
}
