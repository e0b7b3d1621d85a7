# Runtimes: environments whose tree is that of an ordinary Linux system, for programs that expect one.
use debian.nu

# What a program does not need: manuals, and translations of messages. Licences stay.
const unneeded = [
  "usr/share/doc/*/[^c]*" "usr/share/doc/*/changelog*" "usr/share/info" "usr/share/lintian" "usr/share/locale" "usr/share/man"
]

# A runtime of Debian packages: those of the base runtime, of the groups in debian/lock.nuon, and others by name.
export def runtime [
  name: string
  --groups: list<string> = []
  --packages: list<string> = []    # more Debian packages, with what they need
  --add: list<any> = []            # other packages, whose bin, lib and share go below /usr
  --vars: record = {}              # variables of the programs
  --arch: string = "amd64"
  --description: string
] {
  let roots = ([base ...$groups] | each {|g| debian group $g} | flatten)
  let debs = (debian debs [...$roots ...$packages] --arch $arch)
  # A package of the lock file goes before a pin of it, which may be older.
  let more = ($add | where {|p| $p.name not-in ($debs | get name) })
  derivation {
    name: $name
    version: "13"
    description: $description
    layout: fhs-1
    platform: $"linux-(match $arch { "arm64" => "aarch64", _ => "x86_64" })-gnu"
    env: $vars
    packages: [...$debs ...$more]
    merge: ($debs | append ($more | where {|p| $p.debian? | default false }) | reduce --fold {} {|p, all| $all | insert $p.name {leave: $unneeded}})
  }
}
