# xdelta3, which writes the difference of two files.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: xdelta3
    version: "3.0.11"
    license: "Apache-2.0"
    homepage: "http://xdelta.org/"
    src: (fetch debsrc xdelta3 3.0.11-dfsg-1.2 --hash b3-smighoy74wkey2dr7jig3jvh3tlake2prmrnh6oybygublsxh42q)
    make: [xdelta3]
    copy: {bin: [xdelta3]}
  }
}
