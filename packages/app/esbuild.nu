# esbuild, which bundles JavaScript.
use lang/node.nu

export def main [] {
  node app {
    name: esbuild
    version: "0.25.5"
    license: MIT
    description: "esbuild, which bundles JavaScript."
    recording: ./esbuild/recording.nuon
  }
}
