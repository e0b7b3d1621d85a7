# Ninja, a small and fast build system.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: ninja
    version: "1.11.1"
    license: "Apache-2.0"
    homepage: "https://ninja-build.org/"
    src: (fetch debsrc ninja-build 1.11.1-2~deb12u1 --hash b3-5yjo63bhtul3ddl7th3nhzjc3wlsqsvcdzisaxapygd3zoglrhhq)
    # Its own build asks for Python or CMake.
    prepare: {|b|
      let sources = (glob src/*.cc --exclude ["*{_test,perftest,-win32,.in}.cc" browse.cc test.cc hash_collision_bench.cc])
      $"ninja: ($sources | path parse | get stem | each {|n| $"src/($n).o" } | str join " ")\n\t$\(CXX) -o $@ $^\n" | save Makefile
    }
    make: ["CXXFLAGS=-O2 -DNDEBUG"]
    copy: {bin: [ninja]}
    runs: [sh]
  }
}
