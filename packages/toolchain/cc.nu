# The C and C++ compiler as configure and make call it: cc, c++, gcc, g++, ld and strip, and LLVM's ar, nm, ranlib, objcopy, objdump and size.
use ./clang.nu
use ./posix.nu
use ../lib/c.nu

export const version = "1"

export def main [] {
  derivation {
    name: cc
    version: $version
    role: tool
    license: MIT
    description: "The C and C++ compiler as configure and make call it."
    src: (fetch path ./cc)
    packages: [(clang) (posix)]
    commands: [cc c++ gcc g++ ld strip ar nm ranlib objcopy objdump size]

    build: {|b|
      let flags = [-O2 -Wall $"-DCLANG=\"($b.packages.clang)\"" $"-DPOSIX=\"($b.packages.posix)\"" ...(posix flags $b.packages.posix)]
      let objects = (c compile $b (glob $"($b.src)/*.c") --flags $flags)
      posix link $b $objects $"($b.out)/bin/cc"
      for name in [c++ gcc g++ ld strip] { symlink cc $"($b.out)/bin/($name)" }
      for name in [ar nm ranlib objcopy objdump size] {
        wrap exe $"($b.out)/bin/($name)" $"($b.packages.clang)/bin/($name)"
      }
    }
  }
}
