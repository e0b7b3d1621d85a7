# GNU tar, which keeps many files in one.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: tar
    version: "1.34"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/tar/"
    src: (fetch debsrc tar 1.34+dfsg-1.2+deb12u1 --hash b3-ptrtbdth25psyb6o6nmkuz7ts5u5uqqoe566f3aswaxouldcpmgq)
  }
}
