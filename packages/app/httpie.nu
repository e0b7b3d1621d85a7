# HTTPie, a client of HTTP for people.
use lang/python.nu

export def main [] {
  python app {
    name: httpie
    version: "3.2.4"
    license: BSD-3-Clause
    description: "HTTPie, a client of HTTP for people."
    commands: [http https httpie]
    recording: ./httpie/recording.nuon
    run: {permissions: {network: true}}
  }
}
