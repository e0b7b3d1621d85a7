# cksfv, which makes and checks lists of CRC32 sums.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: cksfv
    version: "1.3.15"
    license: "GPL-2.0-or-later"
    homepage: "https://zakalwe.fi/~shd/foss/cksfv/"
    src: (fetch debsrc cksfv 1.3.15-1 --hash b3-dueaaqa25gxxw7htwrk6veowgjy2pu25c4btnlchwunfldwhz5ra)
    copy: {bin: [src/cksfv], "share/man/man1": [cksfv.1]}
  }
}
