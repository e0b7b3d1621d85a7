# The Go runtime, and programs of Go modules.
use ../base/fhs.nu
use app.nu

# Releases of Go itself, as modules have them, beside Debian's.
const releases = {
  "1.25": {version: "1.25.14", amd64: b3-us45s6blvly7g6e7npyisk32g5zyznccqf2vfkiwdhbtfct6l4ja, arm64: b3-bomalbxfenoljctqjpi7uwummw63xcdq5dz6nqg7y6e4g7v6nbwa}
  "1.26": {version: "1.26.11", amd64: b3-fm3jzibikskb4nuitavaplk6l62ptory2g24fcrzr4rgmehsffbq, arm64: b3-awe3awq74vtsjfb67lx7ogv4lumyttc6nftkykvbnwmgrx7fvcjq}
}

# The go command of a release, with its compiler and the standard library.
export def toolchain [release: string, --arch: string = "amd64"] {
  if $release not-in $releases {
    error make {msg: $"there is no release ($release) of Go here", help: $"releases: 1.24 \(Debian's\), ($releases | columns | str join ', ')"}
  }
  let it = ($releases | get $release)
  let folder = $"go-($release)"
  derivation {
    name: go-toolchain
    version: $it.version
    license: "BSD-3-Clause"
    platform: $"linux-(match $arch { "arm64" => "aarch64", _ => "x86_64" })-gnu"
    src: (fetch go golang.org/toolchain $"v0.0.1-go($it.version).linux-($arch)" --hash ($it | get $arch))
    build: {|b|
      mkdir $"($b.out)/lib" $"($b.out)/bin"
      let root = $"($b.out)/lib/($folder)"
      cp -r $b.src $root
      for file in (glob $"($root)/{bin/*,pkg/tool/*/*}" --no-dir) { chmod +x $file }
      for name in [go gofmt] { symlink $"../lib/($folder)/bin/($name)" $"($b.out)/bin/($name)" }
    }
  }
}

export def main [
  --release: string = "1.24"     # Debian's, or another one out of the module proxy: 1.25, 1.26
  --arch: string = "amd64"
  --packages: list<string> = []  # more Debian packages of the lock file, with what they need
  --add: list<any> = []          # other packages, whose files go into the runtime
] {
  if $release == "1.24" {
    return (fhs runtime go --groups [go] --packages $packages --add $add --arch $arch --description "The Go runtime, from Debian 13: the go command and its compiler.")
  }
  let go = (toolchain $release --arch $arch)
  (fhs runtime $"go($release)" --packages $packages --add [$go ...$add] --arch $arch
    --description $"The Go runtime, release ($go.version): the go command and its compiler.")
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
#   release       the release of Go, such as "1.26"; without it, Debian's
#   memory_safe   what the package states of its programs; without it, that they are of Go and static
export def app [spec: record] {
  let recording = (fetch recording $spec.recording --ecosystem go)
  let runtime = (main --release ($spec.release? | default "1.24") --packages (app locked $spec) --add (app pins $recording))
  let arguments = ($spec.go? | default [])
  let from_source = $spec.src? != null
  let module = ($spec.module? | default "")
  let version = ($spec.version? | default "")
  let programs = ($spec.programs? | default ["."])
  let safe = {memory_safe: {language: go, linking: static, build: "CGO_ENABLED=0"}}
  app package ($safe | merge $spec) $runtime $recording --leave [module programs go release] --build {|b|
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
