# Ogg, the container of Vorbis, Opus and FLAC.
use autoconf.nu

export def main [] {
  autoconf package {
    name: libogg
    version: "1.3.5"
    license: "BSD-3-Clause"
    homepage: "https://xiph.org/ogg/"
    src: (fetch debsrc libogg 1.3.5-3 --hash b3-gowqr5vqxqfn3nks2chogx3yv7s4lpba45broglivosm4jc5rlqa)
    check: true
  }
}
