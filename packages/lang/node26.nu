# The Node runtime, release 26.
use node.nu

export def main [] { node --release "26" }
