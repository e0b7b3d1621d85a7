# The Go runtime, release 1.26.
use go.nu

export def main [] { go --release "1.26" }
