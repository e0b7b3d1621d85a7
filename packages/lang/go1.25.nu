# The Go runtime, release 1.25.
use go.nu

export def main [] { go --release "1.25" }
