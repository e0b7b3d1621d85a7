# The bzip2 compressor, as a filter: WASI has no chmod, which it wants for files.
use ../toolchain/clang.nu
use ../lib/bzip2.nu
use ../lib/c.nu

export def main [] {
  derivation {
    name: bzip2
    version: $bzip2.version
    license: "bzip2-1.0.6"
    src: (bzip2 upstream)
    packages: [(clang) (bzip2)]
    build: {|b|
      # What WASI does not have: owners, modes and signals mean nothing here.
      "#include <sys/types.h>
       #include <sys/stat.h>
       static inline int nuka_ok(void) { return 0; }
       #define fchmod(fd, mode) nuka_ok()
       #define fchown(fd, uid, gid) nuka_ok()
       #define chmod(path, mode) nuka_ok()
       #define chown(path, uid, gid) nuka_ok()
       #define umask(mode) nuka_ok()
      " | save wasi.h
      let library = $b.packages.libbzip2
      let flags = [-O2 -include $"($env.PWD)/wasi.h" $"-I($library)/include" -D_FILE_OFFSET_BITS=64
        -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_PROCESS_CLOCKS]
      let objects = (c compile $b [$"($b.src)/bzip2-1.0.8/bzip2.c"] --flags $flags)
      c link $b [...$objects $"($library)/lib/libbz2.a"] $"($b.out)/bin/bzip2" --flags [
        -lwasi-emulated-signal -lwasi-emulated-process-clocks
      ]
      symlink bzip2 $"($b.out)/bin/bunzip2"
      symlink bzip2 $"($b.out)/bin/bzcat"
    }
  }
}
