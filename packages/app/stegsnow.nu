# SNOW, which hides a text in the white space of another.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: stegsnow
    version: "20130616"
    license: "Apache-2.0"
    homepage: "http://www.darkside.com.au/snow/"
    src: (fetch debsrc stegsnow 20130616-7 --hash b3-342udapjtp3tk4cugtmwga5aawiag3zq34t2qm7bdqwobjjmvi4a)
    make: [CC=cc]
    copy: {bin: [snow]}
  }
}
