# The Node runtime, release 24.
use node.nu

export def main [] { node --release "24" }
