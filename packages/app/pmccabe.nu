# pmccabe, which counts how complex functions of C are.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: pmccabe
    version: "2.8"
    license: "GPL-2.0-or-later"
    homepage: "https://gitlab.com/pmccabe/pmccabe"
    src: (fetch debsrc pmccabe 2.8-3 --hash b3-caggnccoxv3pdvh6qjlwqy6aw2tzcjmvc3ewaygju3rccwmfxdsa)
    copy: {bin: [pmccabe codechanges decomment vifn]}
  }
}
