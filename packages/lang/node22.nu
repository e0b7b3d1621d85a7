# The Node runtime, release 22.
use node.nu

export def main [] { node --release "22" }
