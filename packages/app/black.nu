# Black, which formats Python.
use lang/python.nu

export def main [] {
  python app {
    name: black
    version: "25.1.0"
    license: MIT
    description: "Black, which formats Python."
    recording: ./black/recording.nuon
  }
}
