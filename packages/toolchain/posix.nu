# A C library with processes: fork, exec, pipes, signals, setjmp and a working directory, over the WASI libc of clang.
# It replaces members of that libc, and lays headers over its headers. A program that is linked with its crt1.o runs in nuka's kernel.
use ./clang.nu
use ../lib/c.nu

export const version = "1"

# What a source is compiled with.
export def flags [
  posix: string  # the folder of the package
] {
  [
    -isystem $"($posix)/include" -D__unix__=1 -D__unix=1 -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_PROCESS_CLOCKS -D_WASI_EMULATED_MMAN -D_WASI_EMULATED_GETPID
    # Programs that were written for older compilers rely on these being warnings.
    -Wno-incompatible-pointer-types -Wno-int-conversion -Wno-implicit-function-declaration -Wno-implicit-int -Wno-incompatible-function-pointer-types
  ]
}

# Link objects into a program that runs in nuka's kernel. Without a shell there is no cc to do it.
export def link [
  b: record              # what the build closure is given, with the packages clang and posix
  objects: list<string>
  to: string             # such as $"($b.out)/bin/sh"
  --envp                 # its main has three arguments
] {
  let usr = $"($b.packages.clang)/usr/lib"
  let crt = if $envp { "crt1e.o" } else { "crt1.o" }
  mkdir ($to | path dirname)
  # Handlers of signals start at 16, since the first numbers mean SIG_DFL, SIG_IGN and the like.
  (^wasm-ld -u __main_argc_argv --table-base=16 -z stack-size=8388608 --stack-first --export=__stack_pointer --strip-debug
    $"($b.packages.posix)/lib/($crt)" ...$objects -L $"($b.packages.posix)/lib" -L $"($usr)/wasm32-wasip1"
    -lc -lwasi-emulated-process-clocks -lwasi-emulated-mman $"($usr)/wasm32-unknown-wasip1/libclang_rt.builtins.a" -o $to)
  chmod +x $to
}

# The names that object files or an archive define, with the member that defines each.
def defined [files: list<string>] {
  ^nm --defined-only --extern-only --print-file-name ...$files | lines | each {|l| $l | parse --regex '^(?<file>.*?):\s+\S+ \S (?<name>\S+)$' } | flatten
}

export def main [] {
  derivation {
    name: posix
    version: $version
    license: MIT
    description: "A C library with processes, pipes and signals, for programs that nuka's kernel runs."
    src: {code: (fetch path ./posix), tools: (fetch deb autotools-dev 20220109.1 --arch all --hash b3-kcvjahi6rvlx73augelwiq3o2ifw5aqf5iffm4gohodlxit26pfq)}
    packages: [(clang)]

    build: {|b|
      let code = $"($b.src.code)/src"
      let flags = [-O2 -isystem $"($b.src.code)/include" -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_PROCESS_CLOCKS -D_WASI_EMULATED_MMAN
        -D_WASI_EMULATED_GETPID -Wno-visibility]
      let objects = (c compile $b (glob $"($code)/*.c" --exclude [crt1.c throw.c]) --flags $flags)
      let lib = $"($b.out)/lib"
      mkdir $lib
      # A member of the libc that defines one of the names has to go, else two definitions meet.
      cp $"($b.packages.clang)/usr/lib/wasm32-wasip1/libc.a" $"($lib)/libc.a"
      let ours = (defined $objects | get name)
      let members = (defined [$"($lib)/libc.a"] | where {|d| $d.name in $ours } | get file | uniq | path basename | each {|m| $m | split row ":" | last })
      ^ar d $"($lib)/libc.a" ...$members
      ^ar rs $"($lib)/libc.a" ...$objects
      c compile $b [$"($code)/crt1.c"] --flags $flags | cp $in.0 $"($lib)/crt1.o"
      c compile $b [$"($code)/crt1.c"] --flags [...$flags -DENVMAIN] | cp $in.0 $"($lib)/crt1e.o"
      c archive (c compile $b [$"($code)/throw.c"] --flags $flags) $"($lib)/libthrow.a"
      cp -r $"($b.src.code)/include" $b.out
      mkdir $"($b.out)/share"
      cp $"($b.src.code)/config.site" $"($b.src.tools)/usr/share/misc/config.sub" $"($b.src.tools)/usr/share/misc/config.guess" $"($b.out)/share"
    }
  }
}
