# Little CMS, which converts colours by their profiles.
use autoconf.nu

export def main [] {
  autoconf package {
    name: lcms2
    version: "2.14"
    license: MIT
    homepage: "https://www.littlecms.com/"
    src: (fetch debsrc lcms2 2.14-2+deb12u1 --hash b3-lhuojaevkjvldstdgb3gkmvhoc4ntf7pbntb3trn3vrtcw4eglna)
    commands: [transicc linkicc psicc]
  }
}
