# gopls, which answers editors about Go.
use lang/go.nu

export def main [] {
  go app {
    name: gopls
    version: "0.18.1"
    license: BSD-3-Clause
    description: "gopls, the language server of Go."
    module: golang.org/x/tools/gopls
    recording: ./gopls/recording.nuon
  }
}
