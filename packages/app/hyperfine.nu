# hyperfine, which times commands.
use lang/rust.nu

export def main [] {
  rust app {
    name: hyperfine
    version: "1.19.0"
    license: "MIT OR Apache-2.0"
    description: "hyperfine, which times commands."
    recording: ./hyperfine/recording.nuon
    memory_safe: {language: rust, linking: static, build: "cargo install --locked"}
  }
}
