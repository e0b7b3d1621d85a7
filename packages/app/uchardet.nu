# uchardet, which guesses the encoding of a text: the program and its library.
use ../lib/cmake.nu

export def main [] {
  cmake package {
    name: uchardet
    version: "0.0.7"
    license: "MPL-1.1 OR GPL-2.0-or-later OR LGPL-2.1-or-later"
    homepage: "https://www.freedesktop.org/wiki/Software/uchardet/"
    src: (fetch debsrc uchardet 0.0.7-1 --hash b3-qrvk725roys7iumaglrljtfyrgis3gzz7cn4xnddndnfy7nkvesa)
    check: true
  }
}
