# JBIG-KIT, which compresses images of two colours.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: jbigkit
    version: "2.1"
    license: "GPL-2.0-or-later"
    homepage: "https://www.cl.cam.ac.uk/~mgk25/jbigkit/"
    src: (fetch debsrc jbigkit 2.1-6.1 --hash b3-4aty7jsgog63nkbp5um44fjxxb4tkvthlu6h2zehgux6xqsoub6q)
    make: [CC=cc]
    check: [test CC=cc]
    copy: {bin: [pbmtools/pbmtojbg pbmtools/jbgtopbm pbmtools/pbmtojbg85 pbmtools/jbgtopbm85], lib: [libjbig/*.a], include: [libjbig/*.h]}
  }
}
