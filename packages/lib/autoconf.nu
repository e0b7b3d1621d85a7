# Packages with a configure script, built as their authors mean it: ./configure && make && make install, in WebAssembly.
#
#     use lib/autoconf.nu
#
#     export def main [] {
#       autoconf package {
#         name: hello
#         version: "2.10"
#         src: (fetch debsrc hello 2.10-3 --hash b3-…)
#       }
#     }
use makefile.nu

# A package with a configure script. Its fields, beside those of a derivation and of `makefile package`:
#   configure  arguments of configure, such as [--disable-nls]
#   config     answers that configure would find out: {ac_cv_func_fork: yes}
#   script     the script, if it is not called configure
export def package [spec: record] {
  let how = (makefile steps $spec)
  let answers = ($spec.config? | default {} | items {|name, value| $"($name)=($value)" })
  let arguments = [$"--prefix=/nuka/self" ...($spec.configure? | default []) ...$answers]
  let script = ($spec.script? | default "configure")
  makefile describe $spec --leave [configure config script] {|b|
    makefile begin $b $how
    configure $b $script $arguments
    makefile compile $b $how
    makefile end $b $how
  }
}

# Run configure, with descriptions of platforms that know this one. If it fails, the error has what config.log says about the last check.
def configure [b: record, script: string, arguments: list<string>] {
  for name in [config.sub config.guess] {
    for file in (glob $"**/{($name),*-($name)}") { cp $"($b.packages.posix)/share/($name)" $file }
  }
  try { ^sh $"./($script)" ...$arguments } catch {|e|
    if not ("config.log" | path exists) { error make {msg: $"configure failed: ($e.msg)"} }
    # The values of all variables follow the checks.
    let checks = (open --raw config.log | into binary | decode utf-8 | lines | take while {|line| not ($line | str starts-with "## Cache variables") })
    $checks | last 60 | str join "\n" | print
    let end = ($checks | where {|line| not ($line | str starts-with "| ") and not ($line | str starts-with "## ") and ($line | str trim) != "" } | last 12 | str join "\n")
    error make {msg: $"configure failed: ($e.msg)", help: $"config.log says:\n($end)\nnuka shell --build opens a shell where configure begins"}
  }
}
