# libcsv, which reads and writes CSV.
use autoconf.nu

export def main [] {
  autoconf package {
    name: libcsv
    version: "3.0.3"
    license: "LGPL-2.1-or-later"
    homepage: "https://sourceforge.net/projects/libcsv/"
    src: (fetch debsrc libcsv 3.0.3+dfsg-6 --hash b3-mm4ub6ricppu5n76ze57c43pmafrjjo6dewquosbdi73uxplkkiq)
    check: true
  }
}
