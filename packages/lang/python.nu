# The Python runtime.
use ../base/fhs.nu

export def main [--arch: string = "amd64"] {
  fhs runtime python --groups [python] --arch $arch --description "The Python runtime, from Debian 13: python3, pip and venv."
}
