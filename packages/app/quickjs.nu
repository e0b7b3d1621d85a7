# QuickJS-ng, a small and fast interpreter of JavaScript.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: quickjs
    version: "0.16.2"
    license: MIT
    homepage: "https://quickjs-ng.github.io/quickjs/"
    src: (fetch crate rquickjs-sys "0.14.0" --hash b3-kztjzaaavhjujwbmsgbvt3yxkgkq3hxddveakp2s5xgoud6pf6ka)
    dir: quickjs
    # Its own build asks for CMake.
    prepare: {|b| "qjs: qjs.o quickjs.o quickjs-libc.o libregexp.o libunicode.o dtoa.o gen/repl.o gen/standalone.o\n" | save --force Makefile }
    make: ["CPPFLAGS=-D_GNU_SOURCE -DQUICKJS_NG_BUILD"]
    copy: {bin: [qjs]}
  }
}
