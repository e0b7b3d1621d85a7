# GNU FriBidi, which orders text of scripts that run from right to left, as a library and a program.
use ../lib/meson.nu

export def main [] {
  meson package {
    name: fribidi
    version: "1.0.8"
    license: "LGPL-2.1-or-later"
    homepage: "https://github.com/fribidi/fribidi"
    src: (fetch debsrc fribidi 1.0.8-2.1 --hash b3-w7ks4g7pfdk4z5pxosryx6mhkgw7snsx2e4q5ijn3hs2uxgz4l7a)
    prepare: {|b| "" | save --force test/meson.build } # its tests are run by Python
    options: [-Ddocs=false]
  }
}
