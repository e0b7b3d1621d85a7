# The Perl runtime.
use ../base/fhs.nu

export def main [--arch: string = "amd64"] {
  fhs runtime perl --groups [perl] --arch $arch --description "The Perl runtime, from Debian 13."
}
