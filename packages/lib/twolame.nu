# TwoLAME, which encodes sound as MPEG layer 2.
use autoconf.nu

export def main [] {
  autoconf package {
    name: twolame
    version: "0.4.0"
    license: "LGPL-2.1-or-later"
    homepage: "https://www.twolame.org/"
    src: (fetch debsrc twolame 0.4.0-2 --hash b3-4z4dzchnfcnj7pwx3uwzpacq7fe33aixg5f3xz5mna34fazhzpsa)
  }
}
