# The Go runtime.
use ../base/fhs.nu

export def main [--arch: string = "amd64"] {
  fhs runtime go --groups [go] --arch $arch --description "The Go runtime, from Debian 13: the go command and its compiler."
}
