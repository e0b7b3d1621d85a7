# Helpers for C, to call in the build closure of a package that has clang among its packages:
#
#     use lib/c.nu
#     …
#     build: {|b|
#       let objects = (c compile $b (glob $"($b.src)/*.c") --flags [-O2])
#       c link $b $objects $"($b.out)/bin/hello"
#     }

# Compile C sources, as many at once as there are cores, and return the object files.
export def compile [
  b: record              # what the build closure is given
  sources: list<string>  # C files
  --flags: list<string> = []
] {
  let usr = $"($b.packages.clang)/usr"
  let jobs = ($sources | each {|source|
    let object = $"/nuka/build/objects/($source | hash sha256 | str substring 0..11)-($source | path basename).o"
    {object: $object, run: [clang --target=wasm32-wasip1 $"--sysroot=($usr)" -resource-dir $usr -c $source -o $object ...$flags]}
  })
  mkdir /nuka/build/objects
  $jobs | get run | run-all | ignore
  $jobs | get object
}

# Put object files into a static library.
export def archive [
  objects: list<string>
  to: string             # such as $"($b.out)/lib/libz.a"
] {
  mkdir ($to | path dirname)
  ^ar rcs $to ...$objects
}

# Link object files and libraries into a program.
export def link [
  b: record
  objects: list<string>  # object files and libraries, as the linker takes them
  to: string             # such as $"($b.out)/bin/lua"
  --flags: list<string> = []
] {
  let lib = $"($b.packages.clang)/usr/lib"
  mkdir ($to | path dirname)
  (^wasm-ld -z stack-size=8388608 --stack-first --strip-debug
    -L $"($lib)/wasm32-wasip1" $"($lib)/wasm32-wasip1/crt1-command.o"
    ...$objects ...$flags -lc $"($lib)/wasm32-unknown-wasip1/libclang_rt.builtins.a" -o $to)
}
