# todos and fromdos, which change the ends of lines.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: tofrodos
    version: "1.7.13"
    license: "GPL-2.0-only"
    homepage: "https://www.thefreecountry.com/tofrodos/"
    src: (fetch debsrc tofrodos 1.7.13+ds-6 --hash b3-dvolvaebp3ed4s3ictdgzri7ejnpzrklskmjn5ikgjjac4hyqjqa)
    dir: src
    make: [-f makefile.gcc CC=cc LD=cc "DEFINES=-DLINUX -DUNIX"]
    copy: {bin: [fromdos todos]}
  }
}
