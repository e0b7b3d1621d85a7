# AVRA, an assembler for microcontrollers of the AVR family.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: avra
    version: "1.4.2"
    license: "GPL-2.0-or-later"
    homepage: "https://github.com/Ro5bert/avra"
    src: (fetch debsrc avra 1.4.2+dfsg-1 --hash b3-flkka3rzdhtkfqywfve5zhzcgrhtbcjp7ocy7xffqyqn5vtcb7ca)
    make: [PREFIX=/nuka/self]
  }
}
