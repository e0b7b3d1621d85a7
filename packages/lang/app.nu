# What the programs of all languages have in common: python app, node app, rust app, go app and java app call these.

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
  let own = [recording system build_system cpu ...$leave]
  let fields = ($spec | items {|name, value| {name: $name, value: $value}} | where {|f| $f.name not-in $own}
    | reduce --fold {} {|f, all| $all | insert $f.name $f.value})
  let cpu = ($spec.cpu? | default "x86_64")
  # A static program states that it is memory-safe, and runs without a runtime.
  let run = if $fields.memory_safe? == null { {runtime: true} } else { {} }
  derivation ({commands: [$spec.name], platform: $"linux-($cpu)-gnu", env: $vars} | merge $fields | merge {
    run: ($run | merge ($fields.run? | default {}))
    runtime: $runtime
    recording: $recording
    build: $build
  })
}

# A copy of a project that its tools may change.
export def project [from: string, to: string] {
  ^cp -a $from $to
  ^chmod -R u+w $to
}

# The Debian packages that nuka lock found a program to need, which the recording names.
export def pins [recording: any] {
  $recording.system? | default "[]" | from nuon | each {|p|
    fetch deb $p.name $p.version --arch $p.arch --hash $p.hash --path $p.path --control
  }
}
