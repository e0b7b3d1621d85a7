# GNU hello, the program that greets its user.
use ../toolchain/clang.nu
use ../lib/c.nu

export const version = "2.10"

export def main [
  --greeting: string = "Hello, world!"  # what it says when it is not told
] {
  derivation {
    name: hello
    version: $version
    license: "GPL-3.0-or-later"
    src: (fetch debsrc hello 2.10-3 --hash b3-eqzyghyarayja27enenxp74xhzzbxdmt23vg4kxnmlfnbsfckqkq)
    packages: [(clang)]
    build: {|b|
      # What its configure script would find out about WASI.
      $"#define PACKAGE \"hello\"
#define PACKAGE_NAME \"GNU Hello\"
#define PACKAGE_BUGREPORT \"bug-hello@gnu.org\"
#define VERSION \"($b.version)\"
#define COPYRIGHT_YEAR 2014
#define HAVE_DECL___FPENDING 1
#define HAVE_STDIO_EXT_H 1
#define HAVE_STRERROR_R 1
#define HAVE_DECL_STRERROR_R 1
#define STRERROR_R_CHAR_P 0
#define _GL_ATTRIBUTE_FORMAT_PRINTF\(a, b)
#define _GL_ARG_NONNULL\(a)
#define HAVE_LANGINFO_CODESET 1
#define HAVE_WORKING_O_NOFOLLOW 0
#define HAVE_DECL_PROGRAM_INVOCATION_NAME 0
#define _GNU_SOURCE 1
#define _GL_ATTRIBUTE_PURE
#define _GL_ATTRIBUTE_CONST
#define _GL_INLINE inline
#define _GL_EXTERN_INLINE extern inline
#define _GL_INLINE_HEADER_BEGIN
#define _GL_INLINE_HEADER_END
#define _Noreturn __attribute__\(\(noreturn))
" | save config.h
      "#define LIBDIR \"\"\n" | save configmake.h
      open --raw $"($b.src)/src/hello.c" | str replace "Hello, world!" $greeting | save hello.c
      let library = ([closeout close-stream exitfail progname quotearg xmalloc xalloc-die localcharset c-strcasecmp error]
        | each {|name| $"($b.src)/lib/($name).c" })
      let objects = (c compile $b [$"($env.PWD)/hello.c" ...$library] --flags [
        -O2 $"-I($env.PWD)" $"-I($b.src)/lib" $"-I($b.src)/src" -Wno-everything
      ])
      c link $b $objects $"($b.out)/bin/hello"
    }
  }
}
