# cstream, which moves, measures and limits streams.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: cstream
    version: "4.0.0"
    license: MIT
    homepage: "https://www.cons.org/cracauer/cstream.html"
    src: (fetch debsrc cstream 4.0.0-1 --hash b3-ssls25l2zwykjqwatxjcj7lfnjfh2vnzkf7suu4m3zqd6gouodca)
  }
}
