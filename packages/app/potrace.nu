# potrace, which turns bitmaps into curves.
use ../lib/autoconf.nu
use ../lib/zlib.nu

export def main [] {
  autoconf package {
    name: potrace
    version: "1.16"
    license: "GPL-2.0-or-later"
    homepage: "https://potrace.sourceforge.net/"
    src: (fetch debsrc potrace 1.16-2 --hash b3-aingjypukjljmalgpwjoase6pidtppjvjxr23d4hhhyyba7pynmq)
    check: true
    packages: [(zlib)]
    commands: [potrace mkbitmap]
  }
}
