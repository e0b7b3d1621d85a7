# libvorbis, which encodes and decodes sound.
use autoconf.nu
use libogg.nu

export def main [] {
  autoconf package {
    name: libvorbis
    version: "1.3.7"
    license: "BSD-3-Clause"
    homepage: "https://xiph.org/vorbis/"
    src: (fetch debsrc libvorbis 1.3.7-1 --hash b3-ong6cmbefix7falu6kerw262m2bo6phqozop2iae7wmuecsgwf7q)
    packages: [(libogg)]
  }
}
