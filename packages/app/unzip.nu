# UnZip, which unpacks zip files.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: unzip
    version: "6.0"
    license: "Info-ZIP"
    homepage: "https://infozip.sourceforge.net/UnZip.html"
    src: (fetch debsrc unzip 6.0-28 --hash b3-nuefwwvd2ccn7pnmtx7m2jcpllyjbwkv4lce3davvli7u7eqetza)
    make: [-f unix/Makefile "CC=cc -include unistd.h" generic]
    copy: {bin: [unzip funzip unix/zipgrep]}
    finish: {|b| symlink unzip $"($b.out)/bin/zipinfo" }
  }
}
