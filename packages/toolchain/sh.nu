# dash, a small POSIX shell, as sh. It runs the configure scripts and makefiles of other packages, so it is built without a shell:
# what dash's own build makes with one, its tables of tokens and commands, lies beside this file, as the answers of configure do.
use ./clang.nu
use ./posix.nu
use ../lib/c.nu

export const version = "0.5.12"

export def main [] {
  derivation {
    name: sh
    version: $version
    role: tool
    license: "BSD-3-Clause"
    homepage: "http://gondor.apana.org.au/~herbert/dash/"
    description: "A small POSIX shell, dash, for builds."
    src: {code: (fetch debsrc dash 0.5.12-2 --hash b3-lvowdbw6qfvuwy5ha3eqjnbbcmkciqo22qt5mxeweviax5hboqkq), seeds: (fetch path ./sh)}
    packages: [(clang) (posix)]

    build: {|b|
      let code = $"($b.src.code)/src"
      # dash is not written for compilers that inform of every habit of its time.
      let flags = [-O2 -w $"-I($env.PWD)" $"-I($b.src.seeds)" $"-I($code)" -include $"($b.src.seeds)/config.h" -DBSD=1 -DSHELL ...(posix flags $b.packages.posix)]
      for maker in [mkinit mknodes mksyntax mksignames] {
        c link $b (c compile $b [$"($code)/($maker).c"] --flags $flags) $"/nuka/build/($maker)"
      }
      let names = [alias arith_yacc arith_yylex cd error eval exec expand histedit input jobs mail main memalloc miscbltin mystring options
        parser redir show trap output bltin/printf system bltin/test bltin/times var]
      let sources = ($names | each {|n| $"($code)/($n).c" })
      ^/nuka/build/mkinit ...$sources
      ^/nuka/build/mknodes $"($code)/nodetypes" $"($code)/nodes.c.pat"
      ^/nuka/build/mksyntax
      ^/nuka/build/mksignames
      let made = ([init nodes syntax signames] | each {|n| $"($env.PWD)/($n).c" })
      let objects = (c compile $b [...$sources ...$made $"($b.src.seeds)/builtins.c"] --flags $flags)
      posix link $b $objects $"($b.out)/bin/sh"
      symlink sh $"($b.out)/bin/dash"
    }
  }
}
