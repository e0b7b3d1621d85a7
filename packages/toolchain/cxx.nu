# The C++ library with exceptions: libc++, libc++abi and libunwind of LLVM, and c++ that uses them. A package in C++ names it in `packages`.
# The Zig project keeps the sources of these libraries in its compiler's package; they are those of clang's release, whose headers they fit.
use ./cc.nu
use ./clang.nu
use ./posix.nu
use ../lib/c.nu

export const version = "22.1.8"

# The libraries alone. They are a package of their own, so that a new cc does not compile them again.
def library [] {
  derivation {
    name: libcxx
    version: $version
    license: "Apache-2.0 WITH LLVM-exception"
    src: {
      llvm: (fetch pypi ziglang 0.17.1 --file "*manylinux*x86_64*.whl" --unpack archive --strip 2
        --hash b3-o7uoaaynibx3jawzzoszrxzubozliedwyxvvybzjb6nib2ukjfwq)
      code: (fetch path ./cxx)
    }
    packages: [(clang) (posix)]

    build: {|b|
      let llvm = $b.src.llvm
      let flags = [
        -O2 -fwasm-exceptions -mllvm -wasm-use-legacy-eh=false -Wno-everything ...(posix flags $b.packages.posix)
        -D_LIBCPP_BUILDING_LIBRARY -DLIBCXX_BUILDING_LIBCXXABI -D_LIBCXXABI_BUILDING_LIBRARY
        ...([libcxx/src libcxx/libc libcxxabi/src libcxxabi/include libunwind/src libunwind/include] | each {|dir| $"-I($llvm)/($dir)" })
      ]
      let plus = [...$flags -std=c++26]
      let abi = (glob $"($llvm)/libcxxabi/src/*.cpp" --exclude [cxa_noexception.cpp cxa_thread_atexit.cpp cxa_handlers.cpp])
      c archive [
        ...(c compile $b [$"($b.src.code)/unwind.c"] --flags $flags)
        ...(c compile $b $abi --flags $plus)
        # A handler of std::terminate that throws ends the program either way; without this catch, programs without another one need no unwinding.
        ...(c compile $b [$"($llvm)/libcxxabi/src/cxa_handlers.cpp"] --flags [...$plus -fno-exceptions -D_LIBCXXABI_NO_EXCEPTIONS])
      ] $"($b.out)/lib/libc++abi.a"
      let libcxx = (glob $"($llvm)/libcxx/src/{,filesystem,ryu}/*.cpp" --exclude [new.cpp filesystem/operations.cpp])
      c archive [
        ...(c compile $b [$"($llvm)/libcxx/src/filesystem/operations.cpp"] --flags [...$plus -include $"($b.src.code)/files.h"])
        ...(c compile $b $libcxx --flags $plus)
      ] $"($b.out)/lib/libc++.a"
    }
  }
}

export def main [] {
  derivation {
    name: cxx
    version: $version
    license: "Apache-2.0 WITH LLVM-exception"
    description: "The C++ compiler as configure and make call it, with exceptions."
    packages: [(cc) (library)]
    commands: [c++ g++ cc gcc]
    build: {|b|
      mkdir $"($b.out)/bin"
      for name in [c++ g++ cc gcc] {
        wrap exe $"($b.out)/bin/($name)" $"($b.packages.cc)/bin/($name)" --args [$"--cxx=($b.packages.libcxx)"]
      }
    }
  }
}
