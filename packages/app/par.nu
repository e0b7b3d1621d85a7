# par, which formats paragraphs.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: par
    version: "1.53.0"
    license: "LicenseRef-par"
    homepage: "http://www.nicemice.net/par/"
    src: (fetch debsrc par 1.53.0-2 --hash b3-nuynmuh3oa42sbt7ok7wtctkpo6kheqnjwfw3mgca2aorkmjvneq)
    make: [-f protoMakefile "CC=cc -c" "LINK1=cc" "LINK2=-o" RM=rm O=.o E= JUNK=]
    copy: {bin: [par]}
  }
}
