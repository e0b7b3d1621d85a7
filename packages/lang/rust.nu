# The Rust runtime, and programs of crates.
use ../base/fhs.nu
use app.nu

export def main [
  --arch: string = "amd64"
  --packages: list<string> = []  # more Debian packages of the lock file, with what they need
  --add: list<any> = []          # other packages, whose files go into the runtime
] {
  fhs runtime rust --groups [rust] --packages $packages --add $add --arch $arch --description "The Rust runtime, from Debian 13: rustc and cargo, with the linker that they need."
}

# A program of a crate. cargo installs it with its own Cargo.lock, as the recording answers, as one static file.
#
#     rust app {name: hexyl, version: "0.16.0", recording: ./recording.nuon}
#
# Its fields, beside those of a derivation:
#   recording     the file that nuka lock writes
#   src           the project; without it cargo installs the crate `crate` (or `name`) `version` of the registry
#   crate         the crate, if its name is not the package's, such as fd-find
#   cargo         arguments of cargo install, such as [--features pcre2]
#   static        false links with the C library of the runtime
#   door          proxy, for a project with crates of other registries than cargo's own: Cargo.lock has their addresses
#   memory_safe   what the package states of its programs; such a program runs without a sandbox
#   build_system  Debian packages that its build needs, such as [pkg-config libssl-dev]
export def app [spec: record] {
  let recording = (if $spec.door? == null {
    fetch recording $spec.recording --ecosystem cargo
  } else {
    fetch recording $spec.recording --ecosystem cargo --door $spec.door
  })
  let runtime = (main --packages (app locked $spec) --add (app pins $recording))
  let arguments = ($spec.cargo? | default [])
  let from_source = $spec.src? != null
  let crate = $"($spec.crate? | default $spec.name)@($spec.version? | default "")"
  let static = ($spec.static? | default true)
  app package $spec $runtime $recording --leave [crate cargo door static] --build {|b|
    ^sh -c 'mkdir -p "$CARGO_HOME" && if [ -e /run/nuka/registry/cargo/config.toml ]; then cp /run/nuka/registry/cargo/config.toml "$CARGO_HOME"; fi'
    let target = $"($b.cpu | str replace --regex "_v[2-4]$" "")-unknown-linux-gnu"
    # A target of its own keeps the flags from the programs that only the build runs.
    $env.RUSTFLAGS = $"($env.RUSTFLAGS? | default "")(if $static { " -Ctarget-feature=+crt-static" }) --remap-path-prefix=/tmp/nuka-cargo=/cargo --remap-path-prefix=/nuka/build=/build"
    $env.CARGO_TARGET_DIR = "/nuka/build/target"
    let what = if $from_source { app project $b.src /nuka/build/project; [--path /nuka/build/project] } else { [$crate] }
    ^cargo install --locked --root $b.out --target $target --no-track -j $"($b.jobs)" ...$arguments ...$what
  }
}
