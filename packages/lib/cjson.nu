# cJSON, a small library for JSON.
use makefile.nu

export def main [] {
  makefile package {
    name: cjson
    version: "1.7.15"
    license: MIT
    homepage: "https://github.com/DaveGamble/cJSON"
    src: (fetch debsrc cjson 1.7.15-1+deb12u4 --hash b3-axxi4qsxa5hm2hz65vtamd43zshpmzcuq6b574s6vu5mdscekuxq)
    make: [static R_CFLAGS=-O2]
    check: [test R_CFLAGS=-O2]
    copy: {lib: [libcjson.a libcjson_utils.a], "include/cjson": [cJSON.h cJSON_Utils.h]}
  }
}
