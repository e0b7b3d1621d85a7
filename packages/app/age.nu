# age, which encrypts files.
use lang/go.nu

export def main [] {
  go app {
    name: age
    version: "1.2.1"
    license: BSD-3-Clause
    description: "age, which encrypts files."
    module: filippo.io/age
    programs: [./cmd/age ./cmd/age-keygen]
    commands: [age age-keygen]
    recording: ./age/recording.nuon
  }
}
