# The SQL database engine as one file of C: its amalgamation.
use ../toolchain/clang.nu
use c.nu

export const version = "3.49.1"

# The amalgamation and the shell.
export def upstream [] {
  fetch crate sqlite3-src 0.7.1 --hash b3-iizlekgr46e2rcuyzdivj7lccsbakmzilr4ajptqnrqtfwscytvq
}

# How SQLite is built for WASI: one process and no shared memory, so no threads, no extensions and no write-ahead log.
export const flags = [
  -O2 -DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_OMIT_WAL -DSQLITE_ENABLE_FTS5
  -DSQLITE_ENABLE_MATH_FUNCTIONS -DSQLITE_DEFAULT_UNIX_VFS="unix-dotfile" -DSQLITE_TEMP_STORE=2
  -D_WASI_EMULATED_GETPID -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_PROCESS_CLOCKS -D_WASI_EMULATED_MMAN
]

export def main [] {
  let flags = $flags
  derivation {
    name: libsqlite
    version: $version
    license: "blessing"
    src: (upstream)
    packages: [(clang)]
    build: {|b|
      let objects = (c compile $b [$"($b.src)/source/sqlite3.c"] --flags $flags)
      c archive $objects $"($b.out)/lib/libsqlite3.a"
      mkdir $"($b.out)/include"
      cp $"($b.src)/source/sqlite3.h" $"($b.src)/source/sqlite3ext.h" $"($b.out)/include"
    }
  }
}
