# The Node runtime.
use ../base/fhs.nu

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

export def main [--arch: string = "amd64"] {
  fhs runtime node --groups [node] --add [(npm)] --arch $arch --description "The Node runtime, from Debian 13, with npm."
}
