# GNU dbm, a database of keys and values in a file.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: gdbm
    version: "1.23"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org.ua/software/gdbm/"
    src: (fetch debsrc gdbm 1.23-3 --hash b3-lgm7xpyybniw7rzhs3cls5bvn2c73g5jykw3mtzgqkvhxoujpkgq)
    configure: [--enable-libgdbm-compat --without-readline]
    commands: [gdbmtool gdbm_dump gdbm_load]
  }
}
