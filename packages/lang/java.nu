# The Java runtime.
use ../base/fhs.nu

export def main [--arch: string = "amd64"] {
  fhs runtime java --groups [java] --arch $arch --description "The Java runtime, from Debian 13: a JDK without its graphical parts."
}
