# The package manager Yarn 1 ("classic"), for a Node runtime.
use node.nu

export def main [] { node manager yarn }
