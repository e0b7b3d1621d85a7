# Services: programs that keep running. The package of a set has the file services.nuon, which nuka services reads.
#
#     use lib/services.nu
#     use app/http-server.nu
#
#     export def main [] {
#       services {
#         web: {
#           run: [(http-server) http-server "-a" "127.0.0.1" "-p" "8080" "{state}"]
#           ready: {port: 8080}
#           state: true
#         }
#       }
#     }
#
# docs/services.md has the fields.
export def main [
  set: record = {}  # the services by their names
] {
  derivation {
    name: services
    version: "1"
    license: MIT
    description: "A set of services."
    packages: ($set | values | each {|s| $s.run.0 } | uniq)
    build: {|b| $set | to nuon | save $"($b.out)/services.nuon" }
  }
}
