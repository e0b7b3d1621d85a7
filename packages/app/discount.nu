# Discount, which turns Markdown into HTML.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: discount
    version: "2.2.7"
    license: "BSD-3-Clause"
    homepage: "https://www.pell.portland.or.us/~orc/Code/discount/"
    src: (fetch debsrc discount 2.2.7-2 --hash b3-gqqarwp7l3zcf5sbwu6gvu3fknbeufhwzsdvh5hs24yku6ikcf3q)
    prepare: {|b| with-env {AC_PATH: $env.PATH} { ^sh configure.sh --prefix=/nuka/self } }
    make: [-j1 markdown] # its rules lack dependencies
    commands: [markdown]
  }
}
