# Zip, which packs zip files.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: zip
    version: "3.0"
    license: "Info-ZIP"
    homepage: "https://infozip.sourceforge.net/Zip.html"
    src: (fetch debsrc zip 3.0-13 --hash b3-yu2grce5nw23qas6en53i3qvrjs5zobbt47pp3mlwlhhcomgct5q)
    make: [-f unix/Makefile generic]
    copy: {bin: [zip zipcloak zipnote zipsplit]}
  }
}
