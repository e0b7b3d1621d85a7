# Emscripten, which makes WebAssembly of C and C++.
use ../base/fhs.nu

export def main [--arch: string = "amd64"] {
  fhs runtime emscripten --groups [emscripten] --packages [make] --arch $arch --description "Emscripten, from Debian 13: emcc and em++, which compile C and C++ to WebAssembly programs that nuka run runs."
}
