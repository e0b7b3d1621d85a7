# OptiPNG, which makes PNG images smaller.
use ../lib/autoconf.nu
use ../lib/libpng.nu
use ../lib/zlib.nu

export def main [] {
  autoconf package {
    name: optipng
    version: "0.7.7"
    license: Zlib
    homepage: "https://optipng.sourceforge.net/"
    src: (fetch debsrc optipng 0.7.7-2 --hash b3-b3vagwdxeacdaam2wbbxlch2pjq2gxamykotxbxobsiqqx7sxlna)
    packages: [(libpng) (zlib)]
    configure: [-with-system-libs]
  }
}
