# Packages of Debian, as the lock files in debian/ pin them. nuka lock writes those; debian/lock.nuon says what they hold.
#
#     use base/debian.nu
#     …
#     packages: (debian debs [...(debian group base) ...(debian group python)])

use debian/amd64.nu
use debian/arm64.nu

# The packages that some roots need, themselves included, sorted by name. Each is a fetch of one .deb, with its control files.
export def debs [
  roots: list<string>
  --arch: string = "amd64"
  --without: list<string> = []  # packages to leave out, with what only they need
] {
  let table = (table $arch)
  # A line is split only if its package is needed.
  let rest = ($table | lines | skip 1 | split column --number 2 " " name rest | transpose --header-row --as-record)
  mut chosen = {}
  mut level = ($roots | uniq | where {|n| $n not-in $without})
  while ($level | is-not-empty) {
    let missing = ($level | where {|n| $n not-in $rest})
    if ($missing | is-not-empty) {
      error make {msg: $"the lock file for ($arch) has no package ($missing | first)", help: "add it to the roots in lock.nuon and run nuka lock"}
    }
    let rows = ($level | each {|n| $rest | get $n} | split column " " version sha256 bytes kib arch folder depends)
    $chosen = ($level | zip $rows | reduce --fold $chosen {|p, all| $all | insert $p.0 $p.1})
    let have = $chosen
    $level = ($rows | get depends | str join "," | split row "," | uniq | where {|n| $n != "" and $n not-in $have and $n not-in $without})
  }
  $chosen | sort | items {|name, p|
    let file = $"($name)_($p.version | split row ":" | last)_($p.arch).deb"
    let path = if ($p.folder | str ends-with ".deb") { $p.folder } else { $"pool/($p.folder)/($file)" }
    fetch deb $name $p.version --arch $arch --hash $"sha256-($p.sha256)" --path $path --control
  }
}

# Those of some names that the lock file does not have.
export def unknown [names: list<string>, --arch: string = "amd64"] {
  let table = (table $arch)
  $names | where {|n| not ($table | str contains $"\n($n) ") }
}

# The roots of one group of lock.nuon, such as base or python.
export def group [name: string] {
  $amd64.roots | get $name
}

def table [arch: string] {
  match $arch {
    "amd64" => $amd64.packages
    "arm64" => $arm64.packages
    _ => (error make {msg: $"there is no lock file for the architecture ($arch)", help: "there are amd64 and arm64"})
  }
}
