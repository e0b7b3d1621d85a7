# The Go runtime, and programs of Go modules.
use ../base/fhs.nu
use app.nu

export def main [
  --arch: string = "amd64"
  --packages: list<string> = []  # more Debian packages of the lock file, with what they need
  --add: list<any> = []          # other packages, whose files go into the runtime
] {
  fhs runtime go --groups [go] --packages $packages --add $add --arch $arch --description "The Go runtime, from Debian 13: the go command and its compiler."
}

# Programs of a Go module, as static files. go builds them with the versions of their go.mod, as the recording answers.
#
#     go app {name: age, version: "1.2.1", module: filippo.io/age, programs: [./cmd/age ./cmd/age-keygen], recording: ./recording.nuon}
#
# Its fields, beside those of a derivation:
#   recording     the file that nuka lock writes
#   src           the project; without it go installs `module` at version `v…`
#   module        the path of the module
#   programs      the packages of programs in the module; without it the module itself
#   go            arguments of go build, such as [-tags netgo]
#   memory_safe   what the package states of its programs; without it, that they are of Go and static
export def app [spec: record] {
  let recording = (fetch recording $spec.recording --ecosystem go)
  let runtime = (main --packages (app locked $spec) --add (app pins $recording))
  let arguments = ($spec.go? | default [])
  let from_source = $spec.src? != null
  let module = ($spec.module? | default "")
  let version = ($spec.version? | default "")
  let programs = ($spec.programs? | default ["."])
  let safe = {memory_safe: {language: go, linking: static, build: "CGO_ENABLED=0"}}
  app package ($safe | merge $spec) $runtime $recording --leave [module programs go] --build {|b|
    $env.CGO_ENABLED = "0"
    $env.GOCACHE = "/nuka/build/cache"
    $env.GOBIN = $"($b.out)/bin"
    let flags = [-trimpath -buildvcs=false -p $"($b.jobs)" ...$arguments]
    if $from_source {
      app project $b.src /nuka/build/project
      cd /nuka/build/project
      ^go install ...$flags ...$programs
    } else {
      ^go install ...$flags ...($programs | each {|p| $"($module)($p | str replace --regex "^\\." "")@v($version)"})
    }
  }
}
