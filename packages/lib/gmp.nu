# GMP, numbers of any size.
use autoconf.nu

export def main [] {
  autoconf package {
    name: gmp
    version: "6.2.1"
    license: "LGPL-3.0-or-later OR GPL-2.0-or-later"
    homepage: "https://gmplib.org/"
    src: (fetch debsrc gmp "2:6.2.1+dfsg1-1.1" --hash b3-xfin3foqm4youax6njmakwijqytxqof7sugvqgnliplkv4hedtgq)
    prepare: {|b| mkdir doc; "all install check:\n" | save doc/Makefile.in } # Debian has no documentation
    configure: [--disable-assembly]
  }
}
