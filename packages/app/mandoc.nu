# mandoc, which formats manual pages.
use ../lib/autoconf.nu
use ../lib/zlib.nu

export def main [] {
  autoconf package {
    name: mandoc
    version: "1.14.6"
    license: ISC
    homepage: "https://mandoc.bsd.lv/"
    src: (fetch debsrc mdocml 1.14.6-1 --hash b3-gskb4fzpheg76wgr65biyittoycxaxapbndi5mjbjtllei4ohuca)
    prepare: {|b| "PREFIX=/nuka/self\nMANDIR=/nuka/self/share/man\n" | save configure.local }
    packages: [(zlib)]
    commands: [mandoc demandoc soelim]
  }
}
