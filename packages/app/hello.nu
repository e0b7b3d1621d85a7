# GNU hello, the program that greets its user.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: hello
    version: "2.10"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/hello/"
    src: (fetch debsrc hello 2.10-3 --hash b3-eqzyghyarayja27enenxp74xhzzbxdmt23vg4kxnmlfnbsfckqkq)
  }
}
