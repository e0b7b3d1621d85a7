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

# Other package managers, of the same registry, as the field manager of `node app` names them.
const managers = {
  pnpm: {from: pnpm, version: "10.34.9", hash: b3-bdvl3f7c3pjfsjsmqfk24tdk4yiu37xjrgjkwdb7zchcjh2g7o6a, license: MIT, programs: {pnpm: "bin/pnpm.cjs", pnpx: "bin/pnpx.cjs"}}
  yarn: {from: yarn, version: "1.22.22", hash: b3-obfogat3agncfkdd7b6nn7nfjfpjugfd7sijhokpzcyqhpg2ldna, license: BSD-2-Clause, programs: {yarn: "bin/yarn.js", yarnpkg: "bin/yarn.js"}}
  yarn-berry: {from: "@yarnpkg/cli-dist", version: "4.18.1", hash: b3-gbixuyxgordob24icro6onh4mrlanv5m7dlnd256mpieylkj6q7a, license: BSD-2-Clause, programs: {yarn: "bin/yarn.js", yarnpkg: "bin/yarn.js"}}
}

# The package manager pnpm, yarn (1, "classic") or yarn-berry (4), as one folder of JavaScript.
export def manager [name: string] {
  if $name not-in $managers {
    error make {msg: $"there is no package manager ($name) of Node here", help: $"managers: npm, ($managers | columns | str join ', ')"}
  }
  let it = ($managers | get $name)
  derivation {
    name: $name
    version: $it.version
    license: $it.license
    src: (fetch npm $it.from $it.version --hash $it.hash)
    build: {|b|
      let to = $"($b.out)/lib/node_modules/($it.from)"
      mkdir ($to | path dirname) $"($b.out)/bin"
      cp -r $b.src $to
      for p in ($it.programs | transpose name file) {
        chmod +x $"($to)/($p.file)"
        symlink $"../lib/node_modules/($it.from)/($p.file)" $"($b.out)/bin/($p.name)"
      }
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
#   manager       pnpm, yarn (1) or yarn-berry (4), for a project with the lock file of one of them; without it npm
#   npm           arguments of the package manager, such as [--ignore-scripts]
#   release       the release of Node, such as "24"; without it, Debian's
#   system        Debian packages that it needs beside the Node runtime
#   build_system  those that only its build needs, such as [gcc make python3]
export def app [spec: record] {
  if ($spec.manager? | default "npm") != "npm" { return (managed $spec) }
  let recording = (fetch recording $spec.recording --ecosystem npm)
  let runtime = (main --release ($spec.release? | default "20") --packages (app locked $spec) --add (app pins $recording))
  let install = ($spec.install? | default [$"($spec.name)@($spec.version)"])
  let arguments = ($spec.npm? | default [])
  let name = $spec.name
  let from_source = $spec.src? != null
  # node-gyp takes the headers of the runtime: libnode-dev among build_system has them.
  app package $spec $runtime $recording --leave [install manager npm release] --vars {npm_config_nodedir: "/usr"} --build {|b|
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

# A program of a project that another manager than npm installs, by its lock file.
def managed [spec: record] {
  let manager = $spec.manager
  if $spec.src? == null {
    error make {msg: $"node app ($spec.name): ($manager) installs a project by its lock file, so the field src is needed"}
  }
  # yarn.lock of Yarn 1 has whole addresses, to which it goes.
  let recording = (if $manager == "yarn" {
    fetch recording $spec.recording --ecosystem npm --door proxy
  } else {
    fetch recording $spec.recording --ecosystem npm
  })
  let runtime = (main --release ($spec.release? | default "20") --packages (app locked $spec) --add [(manager $manager) ...(app pins $recording)])
  let arguments = ($spec.npm? | default [])
  let name = $spec.name
  let vars = {npm_config_nodedir: "/usr", CI: "1", YARN_NODE_LINKER: "node-modules", YARN_GLOBAL_FOLDER: "/tmp/nuka-yarn"}
  app package $spec $runtime $recording --leave [install manager npm release] --vars $vars --build {|b|
    let to = $"($b.out)/lib/node_modules/($name)"
    mkdir ($to | path dirname)
    app project $b.src $to
    cd $to
    match $manager {
      "pnpm" => { ^pnpm install --frozen-lockfile --prod --store-dir /tmp/nuka-pnpm --package-import-method copy ...$arguments }
      "yarn" => { ^yarn install --frozen-lockfile --production --non-interactive --no-progress ...$arguments }
      _ => { ^yarn workspaces focus --all --production ...$arguments }
    }
    # What managers note for themselves has times and folders of this build.
    ^rm -rf node_modules/.modules.yaml node_modules/.pnpm-workspace-state-v1.json node_modules/.yarn-integrity node_modules/.yarn-state.yml .yarn/install-state.gz
    let bin = (open --raw package.json | from json | get -o bin)
    let commands = if ($bin | describe) == "string" { {$name: $bin} } else { $bin | default {} }
    mkdir $"($b.out)/bin"
    for c in ($commands | transpose name file) {
      ^chmod a+x $c.file
      symlink $"../lib/node_modules/($name)/($c.file | str replace --regex "^\\./" "")" $"($b.out)/bin/($c.name)"
    }
  }
}
