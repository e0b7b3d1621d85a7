# The package manager Yarn 4 ("berry"), for a Node runtime.
use node.nu

export def main [] { node manager yarn-berry }
