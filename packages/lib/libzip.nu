# libzip, a library for ZIP archives, and its programs zipcmp, zipmerge and ziptool.
use cmake.nu
use zlib.nu

export def main [] {
  cmake package {
    name: libzip
    version: "1.7.3"
    license: "BSD-3-Clause"
    homepage: "https://libzip.org/"
    src: (fetch debsrc libzip 1.7.3-1 --hash b3-lp5wu7dxw5iiu42zn6gdw7rczzttr5ol6qdtjzt7wzu6kagokbqq)
    packages: [(zlib)]
    options: [-DBUILD_REGRESS=OFF -DBUILD_EXAMPLES=OFF]
    commands: [zipcmp zipmerge ziptool]
  }
}
