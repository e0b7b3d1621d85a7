# banner, which prints large letters as System V did.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: sysvbanner
    version: "1.0"
    license: "LicenseRef-public-domain"
    src: (fetch debsrc sysvbanner "1:1.0-18" --hash b3-363mr5czoms3xx2xmqr44x3vcbqoxnsfdmvzw7t6xtsfqfuko46a)
    copy: {bin: [banner]}
  }
}
