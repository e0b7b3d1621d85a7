# What the programs of all languages have in common: python app, node app, rust app, go app and java app call these.
use ../base/debian.nu

# A native package that a language package manager builds, in a runtime, with a recording. `leave` are fields of the specification that are not those of a
# derivation.
export def package [
  spec: record
  runtime: any
  recording: any
  --leave: list<string> = []
  --build: closure
  --vars: record = {}         # variables of the programs of the build
] {
  let own = [recording system build_system pins cpu ...$leave]
  let fields = ($spec | items {|name, value| {name: $name, value: $value}} | where {|f| $f.name not-in $own}
    | reduce --fold {} {|f, all| $all | insert $f.name $f.value})
  let cpu = ($spec.cpu? | default "x86_64")
  # A static program states that it is memory-safe, and runs without a runtime.
  let run = if $fields.memory_safe? == null { {runtime: true} } else { {} }
  derivation ({commands: [$spec.name], platform: $"linux-($cpu)-gnu", env: $vars} | merge $fields | merge {
    run: ($run | merge ($fields.run? | default {}))
    runtime: $runtime
    recording: $recording
    pins: (unlocked $spec)
    build: $build
  })
}

# A copy of a project that its tools may change.
export def project [from: string, to: string] {
  ^cp -a $from $to
  ^chmod -R u+w $to
}

# The Debian packages of the lock file that a program needs beside its runtime: of the fields system and build_system.
export def locked [spec: record] {
  let names = (asked $spec)
  $names | where {|n| $n not-in (debian unknown $names) }
}

# Those that the lock file does not have: nuka lock pins them in the recording.
def unlocked [spec: record] {
  debian unknown (asked $spec)
}

def asked [spec: record] {
  [...($spec.system? | default []) ...($spec.build_system? | default [])]
}

# The Debian packages that a recording pins: those that nuka lock found a program or its build to need, and those that its package asks for.
export def pins [recording: any] {
  [system build_system] | each {|f| $recording | get -o $f | default "[]" | from nuon } | flatten | each {|p|
    fetch deb $p.name $p.version --arch $p.arch --hash $p.hash --path $p.path --control | insert debian true
  }
}
