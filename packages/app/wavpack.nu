# WavPack, which compresses sound with and without loss.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: wavpack
    version: "5.6.0"
    license: "BSD-3-Clause"
    homepage: "https://www.wavpack.com/"
    src: (fetch debsrc wavpack 5.6.0-1 --hash b3-ar25pyqvfnnss6aovz22nhhyhqglrpem6vyfb5tz3vhft3anwu5a)
    configure: [--disable-asm]
    commands: [wavpack wvunpack wvgain wvtag]
  }
}
