# fd, which finds files.
use lang/rust.nu

export def main [] {
  rust app {
    name: fd
    version: "10.2.0"
    license: "MIT OR Apache-2.0"
    description: "fd, which finds files."
    crate: fd-find
    cargo: [--no-default-features --features completions]
    recording: ./fd/recording.nuon
    memory_safe: {language: rust, linking: static, build: "cargo install --locked, without jemalloc"}
  }
}
