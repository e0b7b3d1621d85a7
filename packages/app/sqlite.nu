# The command line shell of SQLite.
use ../toolchain/clang.nu
use ../lib/sqlite.nu
use ../lib/c.nu

export def main [] {
  let flags = $sqlite.flags
  derivation {
    name: sqlite
    version: $sqlite.version
    license: "blessing"
    src: (sqlite upstream)
    packages: [(clang) (sqlite)]
    commands: [sqlite3]
    build: {|b|
      # What WASI does not have: other programs, users and modes.
      "#include <stdio.h>
       #include <stdlib.h>
       #include <sys/types.h>
       #include <sys/stat.h>
       #define system(command) ((void)(command), -1)
       #define popen(command, mode) ((FILE *)0)
       #define pclose(file) (-1)
       #define chmod(path, mode) (0)
      " | save wasi.h
      let library = $b.packages.libsqlite
      let objects = (c compile $b [$"($b.src)/source/shell.c"] --flags [
        ...$flags -include $"($env.PWD)/wasi.h" $"-I($library)/include" -DSQLITE_NOHAVE_SYSTEM -DHAVE_READLINE=0
      ])
      c link $b [...$objects $"($library)/lib/libsqlite3.a"] $"($b.out)/bin/sqlite3" --flags [
        -lwasi-emulated-getpid -lwasi-emulated-signal -lwasi-emulated-process-clocks -lwasi-emulated-mman -lm
      ]
    }
  }
}
