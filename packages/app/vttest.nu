# vttest, which tests terminals.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: vttest
    version: "20221229"
    license: MIT
    homepage: "https://invisible-island.net/vttest/"
    src: (fetch debsrc vttest 2.7+20221229-1 --hash b3-vxskgcri7bwjhg7iywaesmmdhmzztqpuewm2psljcv6il2pn4zwa)
  }
}
