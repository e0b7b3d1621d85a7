# MAD, which decodes MPEG sound with integers only.
use autoconf.nu

export def main [] {
  autoconf package {
    name: libmad
    version: "0.15.1b"
    license: "GPL-2.0-or-later"
    homepage: "https://www.underbit.com/products/mad/"
    src: (fetch debsrc libmad 0.15.1b-10.1 --hash b3-aseqm2sxe2wt5g7yfaav6k5bqoo4d4ijhtvoqfgl7jfw3sjvdesq)
    configure: [--enable-fpm=default]
    make: ["CFLAGS=-O2"] # its own options are for old compilers
  }
}
