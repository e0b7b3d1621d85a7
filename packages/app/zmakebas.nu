# zmakebas, which turns BASIC of the ZX Spectrum into tapes.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: zmakebas
    version: "1.2"
    license: "LicenseRef-public-domain"
    homepage: "https://github.com/z00m128/zmakebas"
    src: (fetch debsrc zmakebas 1.2-1.1 --hash b3-ngatorwwcz7isy7vvl7wwxa5abbexunt5swustlhb2dyqrloyfga)
    copy: {bin: [zmakebas]}
  }
}
