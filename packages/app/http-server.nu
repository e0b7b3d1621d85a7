# http-server, which serves a folder.
use lang/node.nu

export def main [] {
  node app {
    name: http-server
    version: "14.1.1"
    license: MIT
    description: "http-server, which serves a folder over HTTP."
    recording: ./http-server/recording.nuon
    run: {permissions: {network: true}}
  }
}
