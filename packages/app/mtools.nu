# mtools, which read and write disks of DOS without mounting them.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: mtools
    version: "4.0.32"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/mtools/"
    src: (fetch debsrc mtools 4.0.33-1+really4.0.32-1 --hash b3-rcpmuyx2fqbbpervc6dd6rdfpg3c27z3qpucycqffcsjaqzxbrka)
    configure: [--disable-floppyd]
    commands: [mtools mcopy mdir mformat mdel mmd mtype minfo]
  }
}
