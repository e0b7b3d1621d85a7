# Programs of Go modules as WebAssembly, compiled by Go's own toolchain in WebAssembly.
#
#     use lib/go.nu
#
#     export def main [] {
#       go package {name: age, version: "1.2.1", module: filippo.io/age, programs: [./cmd/age], recording: ./recording.nuon}
#     }
#
# `nuka lock` writes the recording: it asks for the modules with the native go command, as for `go app` of lang/go.nu.
use ../toolchain/go.nu
use ../lang/go.nu [app]

# Programs of one module. Its fields, beside those of a derivation:
#   recording  the file that nuka lock writes; without it the module needs no other, or has a folder vendor
#   src        the project; without it go builds `module` at version `v…`
#   module     the path of the module
#   programs   the packages of programs in the module; without it the module itself
#   go         arguments of go build, such as [-tags netgo]
#   processes  true for programs that start others: they then run in nuka only
export def package [spec: record] {
  let recording = if $spec.recording? == null { null } else { fetch recording $spec.recording --ecosystem go }
  if $recording.open? == "true" {
    return (app ($spec | reject -o processes)) # nuka lock records
  }
  let own = [recording module programs go processes]
  let fields = ($spec | items {|name, value| {name: $name, value: $value}} | where {|f| $f.name not-in $own}
    | reduce --fold {} {|f, all| $all | insert $f.name $f.value})
  let recorded = $recording != null
  let module = ($spec.module? | default "")
  let release = $"($module)@v($spec.version? | default '')"
  let from_source = $spec.src? != null
  let programs = ($spec.programs? | default ["."])
  let tags = if ($spec.processes? | default false) { [-tags nuka] } else { [] }
  let arguments = [-trimpath -buildvcs=false ...$tags ...($spec.go? | default [])]
  derivation ($fields | merge {
    packages: {
      go: (go)
      ...(if $recorded { {recording: $recording} } else { {} })
      ...($spec.packages? | default [] | reduce --fold {} {|p, all| $all | insert $p.name $p })
    }
    build: {|b|
      $env.GOPROXY = "off"
      if $recorded {
        proxy $b.packages.recording /nuka/build/proxy
        $env.GOPROXY = "file:///nuka/build/proxy"
      }
      mkdir $"($b.out)/bin" /nuka/build/bin
      let flags = [...$arguments -p $"($b.jobs)" -o /nuka/build/bin/]
      if $from_source {
        cp -r $b.src /nuka/build/project
        cd /nuka/build/project
        ^go build ...$flags ...$programs
      } else {
        mkdir /nuka/build/project
        cd /nuka/build/project
        "module nuka\n" | save go.mod
        ^go get ...($programs | each {|p| $"($module)($p | str replace --regex '^\.' '')@($release | split row '@' | last)" })
        ^go build ...$flags ...($programs | each {|p| $"($module)($p | str replace --regex '^\.' '')" })
      }
      for file in (ls /nuka/build/bin) {
        cp $file.name $"($b.out)/bin"
        chmod +x $"($b.out)/bin/($file.name | path basename)"
      }
    }
    env: ({
      GOOS: wasip1, GOARCH: wasm, CGO_ENABLED: "0", GOTOOLCHAIN: local, GOENV: off, GOTELEMETRY: off, GOWORK: off, GOSUMDB: off, GOFLAGS: ""
      GOCACHE: /nuka/build/cache, GOPATH: /nuka/build/gopath, GOTMPDIR: /nuka/build
    } | merge ($spec.env? | default {}))
  })
}

# The answers of a recording as the files of a module proxy.
def proxy [recording: string, to: string] {
  for it in (open $"($recording)/recording.nuon" | get answers | where {|a| $a.status == 200 and ($a.request | str starts-with "go /") }) {
    let file = $"($to)($it.request | str substring 3..)"
    mkdir ($file | path dirname)
    if $it.file? == null {
      $it.text | save $file
    } else {
      symlink $"($recording)/($it.file.hash)" $file
    }
  }
}
