# The package manager pnpm, for a Node runtime.
use node.nu

export def main [] { node manager pnpm }
