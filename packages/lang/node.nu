# The Node runtime, and programs of npm packages.
use ../base/fhs.nu
use app.nu

# npm as its registry has it: one archive, where Debian divides it into 335 packages.
export def npm [] {
  derivation {
    name: npm
    version: "11.6.2"
    license: Artistic-2.0
    src: (fetch npm npm 11.6.2 --hash b3-h2zqplycjzn5qryjxg7hm4m2khkejojxhy7k2evnfygzj54gch3q)
    build: {|b|
      let to = $"($b.out)/lib/node_modules/npm"
      mkdir ($to | path dirname) $"($b.out)/bin"
      cp -r $b.src $to
      for name in [npm npx] { symlink $"../lib/node_modules/npm/bin/($name)-cli.js" $"($b.out)/bin/($name)" }
    }
  }
}

# Releases of Node itself, as npm's registry has them, beside Debian's.
const releases = {
  "22": {version: "22.23.5", amd64: b3-iv2faacj5ui2q5xmvatdiba3w67d24qepll2enh22dohi7a4elra, arm64: b3-4b4lxdbjig4e3i4ov4za6zbxxisvhmrnf75udhtuo7bi5aj3snla}
  "24": {version: "24.22.3", amd64: b3-oyjha6aiqkiooej6nj6xizdvnbw7yrzmmjhv7hb5dybmmiwwurba, arm64: b3-6faj5dmfxgiunfpawq23agwedxkqskjrb7jgzuwkgduiugtw3iaa}
  "26": {version: "26.12.1", amd64: b3-4djhb7jel6mbi23u5eup53uc7i7nfmgcn6e5pfogvo243gqt6rbq, arm64: b3-6glw6hxep75nvbaiyqet45ypixqjw65l4vaij47dk62yzfwu73zq}
}

# The program node of a release, with its libraries inside.
export def program [release: string, --arch: string = "amd64"] {
  if $release not-in $releases {
    error make {msg: $"there is no release ($release) of Node here", help: $"releases: 20 \(Debian's\), ($releases | columns | str join ', ')"}
  }
  let it = ($releases | get $release)
  derivation {
    name: node-program
    version: $it.version
    license: MIT
    platform: $"linux-(match $arch { "arm64" => "aarch64", _ => "x86_64" })-gnu"
    src: (fetch npm $"node-linux-(match $arch { "arm64" => "arm64", _ => "x64" })" $it.version --hash ($it | get $arch))
    build: {|b|
      mkdir $"($b.out)/bin"
      cp $"($b.src)/bin/node" $"($b.out)/bin/node"
      chmod +x $"($b.out)/bin/node"
    }
  }
}

export def main [
  --release: string = "20"       # Debian's, or another one out of npm's registry: 22, 24, 26
  --arch: string = "amd64"
  --packages: list<string> = []  # more Debian packages of the lock file, with what they need
  --add: list<any> = []          # other packages, whose files go into the runtime
] {
  if $release == "20" {
    return (fhs runtime node --groups [node] --packages $packages --add [(npm) ...$add] --arch $arch --description "The Node runtime, from Debian 13, with npm.")
  }
  let node = (program $release --arch $arch)
  (fhs runtime $"node($release)" --packages [libstdc++6 libatomic1 ...$packages] --add [$node (npm) ...$add] --arch $arch
    --description $"The Node runtime, release ($node.version), with npm.")
}

# A program of an npm package. npm installs it and what it needs, as the recording answers.
#
#     node app {name: prettier, version: "3.6.2", recording: ./recording.nuon}
#
# Its fields, beside those of a derivation:
#   recording     the file that nuka lock writes
#   src           the project, with its package-lock.json; without it npm installs the release `name` `version`
#   install       what npm installs, in place of the release, such as [http-server@14.1.1]
#   npm           arguments of npm, such as [--ignore-scripts]
#   release       the release of Node, such as "24"; without it, Debian's
#   system        Debian packages that it needs beside the Node runtime
#   build_system  those that only its build needs, such as [gcc make python3]
export def app [spec: record] {
  let recording = (fetch recording $spec.recording --ecosystem npm)
  let runtime = (main --release ($spec.release? | default "20") --packages (app locked $spec) --add (app pins $recording))
  let install = ($spec.install? | default [$"($spec.name)@($spec.version)"])
  let arguments = ($spec.npm? | default [])
  let name = $spec.name
  let from_source = $spec.src? != null
  # node-gyp takes the headers of the runtime: libnode-dev among build_system has them.
  app package $spec $runtime $recording --leave [install npm release] --vars {npm_config_nodedir: "/usr"} --build {|b|
    if $from_source {
      let to = $"($b.out)/lib/node_modules/($name)"
      mkdir ($to | path dirname)
      app project $b.src $to
      cd $to
      ^npm ci --omit=dev --no-audit --no-fund ...$arguments
      let bin = (open --raw package.json | from json | get -o bin)
      let commands = if ($bin | describe) == "string" { {$name: $bin} } else { $bin | default {} }
      mkdir $"($b.out)/bin"
      for c in ($commands | transpose name file) {
        ^chmod a+x $c.file
        symlink $"../lib/node_modules/($name)/($c.file | str replace --regex "^\\./" "")" $"($b.out)/bin/($c.name)"
      }
    } else {
      ^npm install --global --prefix $b.out --no-audit --no-fund ...$arguments ...$install
    }
  }
}
