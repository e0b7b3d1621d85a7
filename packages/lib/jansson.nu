# Jansson, a library for JSON.
use makefile.nu

export def main [] {
  makefile package {
    name: jansson
    version: "2.14"
    license: MIT
    homepage: "https://github.com/akheron/jansson"
    src: (fetch debsrc jansson 2.14-2 --hash b3-rsckfny6pn7ptgt3v52udydpqdlbaknvvnn26huazf5zkidzhc4q)
    dir: src
    prepare: {|b| cp ../android/jansson_config.h .; "" | save jansson_private_config.h; "libjansson.a: $(patsubst %.c,%.o,$(wildcard *.c))\n\t$(AR) rcs $@ $^\n" | save Makefile }
    make: ["CPPFLAGS=-I. -DHAVE_STDINT_H -DHAVE_UNISTD_H -DHAVE_SYS_TIME_H"]
    copy: {lib: [libjansson.a], include: [jansson.h jansson_config.h]}
  }
}
