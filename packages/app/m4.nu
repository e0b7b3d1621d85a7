# GNU m4, a macro processor.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: m4
    version: "1.4.19"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/m4/"
    src: (fetch debsrc m4 1.4.19-3 --hash b3-iswy6ragic46p62zpf5z2l7vqsyotleoudw5yzjx2grbquosgr5a)
    configure: [--disable-threads]
    runs: [sh]
  }
}
