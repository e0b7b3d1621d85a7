# libxml2, the library for XML of GNOME, and xmllint.
use autoconf.nu
use zlib.nu

export def main [] {
  autoconf package {
    name: libxml2
    version: "2.9.14"
    license: MIT
    homepage: "https://gitlab.gnome.org/GNOME/libxml2"
    src: (fetch debsrc libxml2 2.9.14+dfsg-1.3~deb12u6 --hash b3-tdi7a3autqzlcbvr54z3egu3srbnnguvmvl3ct4rswkhh6y23waa)
    packages: [(zlib)]
    configure: [--without-python --without-threads --without-http --without-ftp --without-lzma]
    commands: [xmllint xmlcatalog]
  }
}
