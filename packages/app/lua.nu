# The Lua interpreter and compiler.
use ../toolchain/clang.nu
use ../lib/c.nu
use ../lib/makefile.nu

export const version = "5.4.4"

export def main [
  --posix  # built by its own makefile, with io.popen and os.execute, which plain WASI does not have
] {
  let facts = {
    name: lua
    version: $version
    license: MIT
    src: (fetch debsrc lua5.4 5.4.4-3 --hash b3-f6yypr45k4kapfhvzyfucrr5e5uqctf2kwqng6xlrs4y7nbndjuq)
    commands: [lua luac]
  }
  if $posix {
    makefile package ($facts | merge {make: [posix], install: ["INSTALL_TOP=/nuka/build/stage/nuka/self"], runs: [sh]})
  } else {
    derivation ($facts | merge (plain))
  }
}

# Lua for plain WASI, without a shell.
def plain [] {
  {
    packages: [(clang)]
    build: {|b|
      # What WASI does not have, Lua answers with an error of its own. Its error handling is setjmp and longjmp,
      # which clang turns into exceptions of WebAssembly.
      "#include <stdio.h>
       #include <stdlib.h>
       #define system(command) ((void)(command), -1)
       #define L_tmpnam 1
       #define tmpnam(name) ((void)(name), (char *)0)
       #define tmpfile() ((FILE *)0)
      " | save wasi.h
      let flags = [
        -O2 -include $"($env.PWD)/wasi.h" -mllvm -wasm-enable-sjlj -mllvm -wasm-use-legacy-eh=false
        -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_PROCESS_CLOCKS
      ]
      let sources = (glob $"($b.src)/src/*.c" | where {|s| ($s | path basename) not-in [lua.c luac.c] })
      let core = (c compile $b $sources --flags $flags)
      let libs = [-lsetjmp -lwasi-emulated-signal -lwasi-emulated-process-clocks]
      for name in [lua luac] {
        let main = (c compile $b [$"($b.src)/src/($name).c"] --flags $flags)
        c link $b [...$main ...$core] $"($b.out)/bin/($name)" --flags $libs
      }
      mkdir $"($b.out)/include"
      cp ...([lua luaconf lauxlib lualib] | each {|h| $"($b.src)/src/($h).h" }) $"($b.out)/include"
    }
  }
}
