# The Rust runtime.
use ../base/fhs.nu

export def main [--arch: string = "amd64"] {
  fhs runtime rust --groups [rust] --arch $arch --description "The Rust runtime, from Debian 13: rustc and cargo, with the linker that they need."
}
