# The Ruby runtime.
use ../base/fhs.nu

export def main [--arch: string = "amd64"] {
  fhs runtime ruby --groups [ruby] --arch $arch --description "The Ruby runtime, from Debian 13: ruby and gem."
}
