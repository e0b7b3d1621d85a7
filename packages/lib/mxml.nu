# Mini-XML, a small library for XML.
use autoconf.nu

export def main [] {
  autoconf package {
    name: mxml
    version: "3.3.1"
    license: "Apache-2.0"
    homepage: "https://www.msweet.org/mxml/"
    src: (fetch debsrc mxml 3.3.1-1+deb13u1~deb12u1 --hash b3-chytufpyuq3yq6gbor7oykhvmevlmem66iajt7jpe4pfudsdkdlq)
    install: [DSTROOT=/nuka/build/stage] # as it calls DESTDIR
  }
}
