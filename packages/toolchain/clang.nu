# Clang, lld and LLVM's binary tools, with the WASI libc, as programs of WebAssembly that make programs of WebAssembly.
# The YoWASP project builds them from LLVM's source and publishes them as an npm package.

export const version = "22.0.0-git20542-10"

export def main [] {
  derivation {
    name: clang
    version: $version
    license: "Apache-2.0 WITH LLVM-exception"
    role: tool
    src: (fetch npm "@yowasp/clang" $version --hash b3-azfohzlrnx3r724oonu4r6f2slw4yd4uxbst3xap2bbvyakxyxpq)
    commands: [clang clang++ wasm-ld ar ranlib nm objcopy objdump size strip]

    build: {|b|
      # One program that is all of them, by the name it is called.
      mkdir $"($b.out)/bin"
      cp $"($b.src)/gen/llvm.core.wasm" $"($b.out)/bin/llvm"
      for name in [clang clang++ wasm-ld ar ranlib nm objcopy objdump size strip] {
        symlink llvm $"($b.out)/bin/($name)"
      }
      # Headers and libraries: --sysroot and -resource-dir of lib/c.nu point here.
      unpack $"($b.src)/gen/llvm-resources.tar" --to $"($b.out)/usr"
    }
  }
}
