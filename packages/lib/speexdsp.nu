# SpeexDSP, which resamples and cleans sound.
use autoconf.nu

export def main [] {
  autoconf package {
    name: speexdsp
    version: "1.2.1"
    license: "BSD-3-Clause"
    homepage: "https://www.speex.org/"
    src: (fetch debsrc speexdsp 1.2.1-1 --hash b3-erckjyi7o4xhwqz2umc6vyd3dec62564l33xi4wb2my3yvkxmpoa)
    check: true
  }
}
