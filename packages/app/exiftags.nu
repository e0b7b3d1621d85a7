# exiftags, which shows the Exif data of photos.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: exiftags
    version: "1.01"
    license: "BSD-2-Clause"
    homepage: "https://johnst.org/sw/exiftags/"
    src: (fetch debsrc exiftags 1.01-7 --hash b3-4josnqrk7wlyunis5zlgpsxfh6venelccfkde65vmymnsijtkpxq)
    copy: {bin: [exiftags exifcom exiftime]}
  }
}
