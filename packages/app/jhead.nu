# jhead, which shows and changes the Exif data of photos.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: jhead
    version: "3.06.0.1"
    license: "LicenseRef-public-domain"
    homepage: "https://www.sentex.net/~mwandel/jhead/"
    src: (fetch debsrc jhead "1:3.06.0.1-6" --hash b3-ontb6mmdb2twqjcw2l427lno5hxwnijvhrdpcmzotfatyy5pzjza)
    copy: {bin: [jhead]}
  }
}
