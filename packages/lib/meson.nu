# Packages with a meson.build, built by muon, which does what Meson does, in WebAssembly:
#
#     use lib/meson.nu
#
#     export def main [] {
#       meson package {
#         name: fribidi
#         version: "1.0.8"
#         src: (fetch debsrc fribidi 1.0.8-2.1 --hash b3-…)
#         options: [-Ddocs=false]
#       }
#     }
use ../app/muon.nu
use ../toolchain/pkgconf.nu
use makefile.nu

# A package with a meson.build. Its fields, beside those of a derivation:
#   options  arguments of muon setup, such as [-Dtests=disabled]
#   check    true runs the package's own tests
#   dir, prepare, copy, finish, runs, wrap  as for `makefile package`
export def package [spec: record] {
  let how = (makefile steps ($spec | reject -o check))
  let check = ($spec.check? | default false)
  let options = [-Dprefix=/nuka/self -Dlibdir=lib -Dbuildtype=plain -Db_colorout=never -Ddefault_library=static ...($spec.options? | default [])]
  let given = ($spec | merge {packages: [(muon) (pkgconf) ...($spec.packages? | default [])]})
  makefile describe $given --leave [options] {|b|
    makefile begin $b $how
    ^muon setup ...$options build
    ^muon -C build samu -j $b.jobs
    if $check { ^muon -C build test }
    if $how.copy == {} { install $b }
    makefile end $b ($how | merge {install: false})
  }
}

# Install the package as if its prefix were the folder of the package.
def install [b: record] {
  with-env {DESTDIR: /nuka/build/stage} { ^muon -C build install }
  for entry in (ls -a /nuka/build/stage/nuka/self) { mv $entry.name $b.out }
}
