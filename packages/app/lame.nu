# LAME, which encodes sound as MP3.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: lame
    version: "3.100"
    license: "LGPL-2.0-or-later"
    homepage: "https://lame.sourceforge.io/"
    src: (fetch debsrc lame 3.100-6 --hash b3-b3xei5um3xqz5agovqvawns4pm2zmsu65n3erw7ea526fpb6fj3q)
  }
}
