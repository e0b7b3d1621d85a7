# The runtime for native builds of C and C++.
use ../base/fhs.nu

export def main [--arch: string = "amd64"] {
  fhs runtime cc --groups [cc] --arch $arch --description "Compilers for native programs, from Debian 13: gcc, g++, make, cmake and pkg-config."
}
