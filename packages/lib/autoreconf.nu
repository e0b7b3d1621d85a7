# Packages whose source has a configure.ac and no configure: autoreconf writes the scripts and the Makefile.in, and the rest is as with lib/autoconf.nu.
#
#     use lib/autoreconf.nu
#
#     export def main [] {
#       autoreconf package {
#         name: tool
#         version: "1.0"
#         src: (fetch debsrc tool 1.0-1 --hash b3-…)
#       }
#     }
use ../app/autoconf.nu
use ../app/automake.nu
use ../app/libtool.nu
use ../app/m4.nu
use ../app/perl.nu
use ../toolchain/pkgconf.nu
use autoconf.nu

# A package whose source has only configure.ac. Its fields are those of `autoconf package`. `prepare` runs before autoreconf.
export def package [spec: record] {
  autoconf package ($spec | merge {
    packages: [(autoconf) (automake) (libtool) (m4) (perl) (pkgconf) ...($spec.packages? | default [])]
    prepare: {|b|
      if $spec.prepare? != null { do $spec.prepare $b }
      # The macros of packages, such as those of libtool and pkgconf.
      let macros = ($b.packages | values | each {|dir| $"($dir)/share/aclocal" } | where {|dir| $dir | path exists })
      with-env {ACLOCAL_PATH: ($macros | str join ":")} { ^autoreconf -fi }
    }
  })
}
