# popt, which reads the arguments of programs.
use autoconf.nu

export def main [] {
  autoconf package {
    name: popt
    version: "1.19"
    license: MIT
    homepage: "https://github.com/rpm-software-management/popt"
    src: (fetch debsrc popt 1.19+dfsg-1 --hash b3-o4avb5vq6rnyryrg67mysupqtnato7xkhsuskslrpdq32vw6ghbq)
    check: true
  }
}
