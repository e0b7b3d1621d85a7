# The Node runtime.
use ../base/fhs.nu

export def main [--arch: string = "amd64"] {
  fhs runtime node --groups [node] --arch $arch --description "The Node runtime, from Debian 13."
}
