# The base runtime: what a program expects of any Linux. debian/lock.nuon says what is in it, and why.
use fhs.nu

export def main [--arch: string = "amd64"] {
  fhs runtime base --arch $arch --description "The base runtime, from Debian 13: the libraries of C and C++, OpenSSL, a shell, and the small tools that scripts call."
}
