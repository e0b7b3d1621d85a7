# The Go toolchain as WebAssembly: the go command, the compiler, the assembler and the linker. Once there is one, it compiles itself.
#
# The seed is made by the native toolchain that Go's project publishes, in the sandbox of native builds. `go --stage 2`, the package, is made by
# the seed, and `--stage 3` by stage 2: nuka bootstrap verify go compares them.
use ../base/fhs.nu

export const version = "1.26.11"

# Go's own tools, beside the go command: where the go command looks for them.
const tools = [compile asm link preprofile]

# Go's source with what nuka changes in it, ./go: processes for programs with the build tag nuka, and a fault of the runtime.
# It has no tests, and nothing that the toolchain does not need to build programs.
export def sources [] {
  derivation {
    name: go-source
    version: $version
    license: "BSD-3-Clause"
    role: tool
    description: "The source of the Go toolchain, with processes for programs of WebAssembly."
    src: {go: (upstream), changes: (fetch path ./go)}
    build: {|b|
      let root = $"($b.out)/go"
      mkdir $"($root)/pkg"
      cp -r $"($b.src.go)/src" $"($root)/src"
      cp -r $"($b.src.go)/pkg/include" $"($root)/pkg/include"
      cp $"($b.src.go)/VERSION" $"($b.src.go)/go.env" $"($b.src.go)/LICENSE" $root
      cd $"($root)/src"
      for it in (open $"($b.src.changes)/edits.nuon") {
        let text = (open --raw $it.file)
        if ($text | split row $it.old | length) != 2 {
          error make {msg: $"($it.file) does not have this text once: ($it.old)"}
        }
        $text | str replace --no-expand $it.old $it.new | save --force $it.file
      }
      for it in (open $"($b.src.changes)/files.nuon") {
        cp $"($b.src.changes)/($it.from)" $it.to
      }
      rm ...(glob **/*_test.go)
      rm -r ...(glob **/testdata --no-file)
    }
  }
}

def upstream [] {
  fetch go golang.org/toolchain $"v0.0.1-go($version).linux-amd64" --hash h1:KyINmJ/FQdKRmDYGuTAAXkumyeR2DyUlSNHZj7XaLFg=
}

# What the go command is told in all stages.
const settings = {
  GOOS: wasip1, GOARCH: wasm, CGO_ENABLED: "0", GOTOOLCHAIN: local, GOPROXY: off, GOENV: off, GOTELEMETRY: off, GOWORK: off, GOFLAGS: "",
  GOCACHE: /nuka/build/cache, GOPATH: /nuka/build/gopath, GOTMPDIR: /nuka/build
}

# The first stage, by the native toolchain.
export def seed [] {
  derivation {
    name: go-seed
    version: $version
    license: "BSD-3-Clause"
    role: tool
    description: "The Go toolchain as WebAssembly, compiled by the native one."
    platform: linux-x86_64-gnu
    runtime: (fhs runtime base)
    packages: [(sources)]
    src: (upstream)
    env: $settings
    build: {|b|
      # The native tools work on nuka's source: a GOROOT of both.
      ^mkdir -p goroot/pkg/tool goroot/bin
      ^ln -s $"($b.packages.go-source)/go/src" $"($b.packages.go-source)/go/VERSION" $"($b.packages.go-source)/go/go.env" goroot
      ^ln -s $"($b.packages.go-source)/go/pkg/include" goroot/pkg/include
      ^cp -r $"($b.src)/pkg/tool/linux_amd64" goroot/pkg/tool/linux_amd64
      ^cp $"($b.src)/bin/go" goroot/bin/go
      ^chmod -R u+wx goroot/pkg/tool/linux_amd64 goroot/bin
      $env.GOROOT = $"($env.PWD)/goroot"
      ^mkdir -p $"($b.out)/bin"
      ^goroot/bin/go build -trimpath -pgo=off -tags nuka -p $"($b.jobs)" -o $"($b.out)/bin/" cmd/go ...($tools | each {|t| $"cmd/($t)"})
    }
  }
}

# The go command and its tools in a GOROOT, from a folder with the four programs.
def assemble [b: record, programs: string] {
  let root = $"($b.out)/go"
  cp -r $"($b.packages.go-source)/go" $root
  mkdir $"($root)/bin" $"($root)/pkg/tool/wasip1_wasm" $"($b.out)/bin"
  cp $"($programs)/go" $"($root)/bin/go"
  cp ...($tools | each {|t| $"($programs)/($t)"}) $"($root)/pkg/tool/wasip1_wasm"
  chmod +x ...(glob $"($root)/bin/*") ...(glob $"($root)/pkg/tool/wasip1_wasm/*")
  wrap exe $"($b.out)/bin/go" $"($root)/bin/go" --env {GOROOT: $root}
}

export def main [
  --stage: int = 2  # 1 is the seed, and each further one is compiled by the one before
] {
  let common = {
    name: go
    version: $version
    license: "BSD-3-Clause"
    homepage: "https://go.dev"
    role: tool
    description: "The Go toolchain, as WebAssembly: the go command, compiler, assembler and linker."
    commands: [go]
  }
  if $stage <= 1 {
    derivation ($common | merge {packages: [(sources) (seed)], build: {|b| assemble $b $"($b.packages.go-seed)/bin" }})
  } else {
    derivation ($common | merge {
      packages: {go-source: (sources), before: (main --stage ($stage - 1))}
      env: $settings
      build: {|b|
        ^go build -trimpath -pgo=off -tags nuka -p $"($b.jobs)" -o /nuka/build/bin/ cmd/go ...($tools | each {|t| $"cmd/($t)"})
        assemble $b /nuka/build/bin
      }
    })
  }
}
