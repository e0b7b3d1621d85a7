# MD4C, which turns Markdown into HTML, as a library and md2html.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: md4c
    version: "0.4.8"
    license: MIT
    homepage: "https://github.com/mity/md4c"
    src: (fetch debsrc md4c 0.4.8-1 --hash b3-wfb3fq5inuzqgq2pvpb2xzrpsvbjfcsknoabdsisgyickhqwp4za)
    prepare: {|b| "vpath %.c src md2html\nmd2html/md2html: md2html.o cmdline.o md4c.o md4c-html.o entity.o\n\t$(CC) -o $@ $^\n" | save Makefile }
    make: ["CPPFLAGS=-Isrc -DMD_VERSION_MAJOR=0 -DMD_VERSION_MINOR=4 -DMD_VERSION_RELEASE=8"]
    copy: {bin: [md2html/md2html]}
  }
}
