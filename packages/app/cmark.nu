# cmark, which turns CommonMark into HTML, LaTeX and manual pages, as a program and a library.
use ../toolchain/clang.nu
use ../lib/c.nu

export def main [] {
  derivation {
    name: cmark
    version: "0.30.2"
    license: "BSD-2-Clause"
    homepage: "https://github.com/commonmark/cmark"
    src: (fetch debsrc cmark 0.30.2-6 --hash b3-jbmxabnlntayhm7wo3pdo3mzbcsryez4b2ka4n44ye75fvvimmhq)
    packages: [(clang)]
    build: {|b|
      let code = $"($b.src)/src"
      open --raw $"($code)/config.h.in" | str replace --all --regex '#cmakedefine (\w+)' '#define $1' | save config.h
      [MAJOR MINOR PATCH] | zip ($b.version | split row ".")
        | reduce --fold (open --raw $"($code)/cmark_version.h.in") {|v, text| $text | str replace --all $"@PROJECT_VERSION_($v.0)@" $v.1 }
        | save cmark_version.h
      "#define CMARK_EXPORT\n" | save cmark_export.h
      let flags = [-O2 $"-I($env.PWD)" $"-I($code)"]
      c archive (c compile $b (glob $"($code)/*.c" --exclude [main.c]) --flags $flags) $"($b.out)/lib/libcmark.a"
      mkdir $"($b.out)/include"
      cp $"($code)/cmark.h" cmark_version.h cmark_export.h $"($b.out)/include"
      c link $b [...(c compile $b [$"($code)/main.c"] --flags $flags) $"($b.out)/lib/libcmark.a"] $"($b.out)/bin/cmark"
    }
  }
}
