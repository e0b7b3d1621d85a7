# PicoSAT, which solves formulas of propositional logic.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: picosat
    version: "965"
    license: MIT
    homepage: "http://fmv.jku.at/picosat/"
    src: (fetch debsrc picosat 965-2 --hash b3-nsmv5f3wb2627r35fjruqk6wxewvsh7jkdlfckcwnxlkmirkm5ra)
    prepare: {|b| ^sh configure.sh }
    make: ["CFLAGS=-O2 -DNDEBUG -DNGETRUSAGE"]
    copy: {bin: [picosat picomcs picomus picogcnf], lib: [libpicosat.a], include: [picosat.h]}
  }
}
