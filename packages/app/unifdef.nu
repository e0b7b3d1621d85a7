# unifdef, which takes #ifdef out of C.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: unifdef
    version: "2.10"
    license: "BSD-2-Clause"
    homepage: "https://dotat.at/prog/unifdef/"
    src: (fetch debsrc unifdef 2.10-1.1 --hash b3-ek6bszfjyrmfqywtrnrydsd7ezgzh375zy7n74hqur63d3u55gga)
    install: [prefix=/nuka/self]
  }
}
