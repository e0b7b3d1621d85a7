# t1utils, which take Type 1 fonts apart and put them together.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: t1utils
    version: "1.41"
    license: MIT
    homepage: "https://www.lcdf.org/type/"
    src: (fetch debsrc t1utils 1.41-4 --hash b3-gd3dcqdqjupulmqokdp4yeut5kopwfxlgohoeyzv2wnekdzjr4fa)
    commands: [t1ascii t1asm t1binary t1disasm t1mac t1unmac]
  }
}
