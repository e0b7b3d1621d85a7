# ripgrep, which searches folders for a pattern.
use lang/rust.nu

export def main [] {
  rust app {
    name: ripgrep
    version: "14.1.1"
    license: "Unlicense OR MIT"
    description: "ripgrep, which searches folders for a pattern."
    commands: [rg]
    recording: ./ripgrep/recording.nuon
    memory_safe: {language: rust, linking: static, build: "cargo install --locked, without the feature pcre2"}
  }
}
