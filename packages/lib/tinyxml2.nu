# TinyXML-2, a small parser of XML in C++.
use cmake.nu

export def main [] {
  cmake package {
    name: tinyxml2
    version: "9.0.0"
    license: Zlib
    homepage: "https://github.com/leethomason/tinyxml2"
    src: (fetch debsrc tinyxml2 9.0.0+dfsg-3.1 --hash b3-hazbtvzfvcqwzbcm7uvfueaemsrs3vvuihr2anpsz5zgot5ddu5a)
    check: true
  }
}
