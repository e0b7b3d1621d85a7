# Packages that a Makefile builds, with a shell, make and a compiler that run in WebAssembly:
#
#     use lib/makefile.nu
#
#     export def main [] {
#       makefile package {
#         name: tree
#         version: "2.1.0"
#         src: (fetch debsrc tree 2.1.0-1 --hash b3-…)
#         make: ["LDFLAGS="]
#         install: ["PREFIX=/nuka/self"]
#       }
#     }
use ../toolchain/busybox.nu
use ../toolchain/cc.nu
use ../toolchain/make.nu
use ../toolchain/posix.nu
use ../toolchain/sh.nu

# A package whose source has a Makefile. Its fields, beside those of a derivation:
#   dir      the folder of the source to work in
#   prepare  a closure that is run in the source before make
#   make     arguments of make, such as [all "CFLAGS=-O2 -DX"]
#   check    true runs the package's own tests with `make check`; a list has other arguments of make
#   install  arguments of make install; false leaves it out
#   copy     files for folders of the package, instead of make install: {bin: [tool], lib: [libtool.a], include: [*.h]}
#   finish   a closure that is run in the source after all
#   runs     names of packages among `packages` and the builder's own, such as [sh], whose programs the package's programs start
#   wrap     programs that must know where their files are, by name: {figlet: {args: [-d /nuka/self/share/figlet], env: {…}}}
export def package [spec: record] {
  let how = (steps $spec)
  describe $spec {|b|
    begin $b $how
    compile $b $how
    end $b $how
  }
}

# The derivation of a specification: its fields without those of the builder, and the programs of every build.
export def describe [
  spec: record
  build: closure
  --leave: list<string> = []  # fields of the specification that are another builder's
] {
  let own = [dir prepare make check install copy finish runs wrap ...$leave]
  let fields = ($spec | items {|name, value| {name: $name, value: $value} } | where {|f| $f.name not-in $own }
    | reduce --fold {} {|f, all| $all | insert $f.name $f.value })
  let programs = ($spec.copy?.bin? | default [] | path basename)
  let commands = if $spec.commands? != null or $programs in [[] [$spec.name]] { {} } else { {commands: $programs} }
  derivation ($fields | merge $commands | merge {
    packages: [(cc) (sh) (make) (busybox) (posix) ...($spec.packages? | default [])]
    build: $build
  })
}

# The fields of a specification that say how it is built.
export def steps [spec: record] {
  {
    dir: ($spec.dir? | default "."), prepare: $spec.prepare?, make: ($spec.make? | default []), check: ($spec.check? | default false)
    install: ($spec.install? | default (if $spec.copy? == null { [] } else { false })), copy: ($spec.copy? | default {})
    finish: $spec.finish?, runs: ($spec.runs? | default []), wrap: ($spec.wrap? | default {})
  }
}

# Copy the source, go into it, and set what programs find in their environment.
export def --env begin [b: record, how: record] {
  cp -r $b.src source
  cd $"source/($how.dir)"
  load-env (environment $b)
  if $how.prepare? != null { do $how.prepare $b }
}

# The variables of all programs of a build. Dependencies are found in their include and lib folders and by pkg-config.
def environment [b: record] {
  let tools = [busybox cc make posix sh]
  let inputs = ($b.packages | items {|name, dir| {name: $name, dir: $dir} } | where {|p| $p.name not-in $tools } | get dir)
  let folders = {|name| $inputs | each {|dir| $"($dir)/($name)" } | where {|dir| $dir | path exists } | str join ":" }
  let bin = [...$inputs ...([cc sh make busybox] | each {|name| $b.packages | get $name })] | each {|dir| $"($dir)/bin" }
  let sh = $"($b.packages.sh)/bin/sh"
  {
    PATH: ($bin | str join ":")
    CPATH: (do $folders include)
    LIBRARY_PATH: (do $folders lib)
    PKG_CONFIG_PATH: (do $folders lib/pkgconfig)
    CC: cc, CXX: c++, AR: ar, RANLIB: ranlib, CFLAGS: "-O2", CXXFLAGS: "-O2"
    SHELL: $sh, CONFIG_SHELL: $sh, CONFIG_SITE: $"($b.packages.posix)/share/config.site"
    HOME: /tmp, TMPDIR: /tmp, LC_ALL: C, TZ: UTC, SOURCE_DATE_EPOCH: "315532800"
  }
}

# Run make, and the package's own tests.
export def compile [b: record, how: record] {
  let sh = $"SHELL=($b.packages.sh)/bin/sh"
  ^make $"-j($b.jobs)" $sh ...$how.make
  match $how.check {
    false => {}
    true => { ^make $sh ...$how.make check }
    _ => { ^make $sh ...$how.check }
  }
}

# Install the package, and make its files independent of the place where it was built.
export def end [b: record, how: record] {
  let prefix = "/nuka/self" # what packages are configured with: a package has no path of its own while it is built
  let stage = "/nuka/build/stage"
  if $how.install != false {
    ^make install $"SHELL=($b.packages.sh)/bin/sh" $"DESTDIR=($stage)" ...$how.make ...$how.install
    if not ($"($stage)($prefix)" | path exists) {
      error make {msg: $"make install put nothing below ($prefix)", help: "say where to: install: [PREFIX=/nuka/self]"}
    }
    for entry in (ls -a $"($stage)($prefix)") { mv $entry.name $b.out }
  }
  $how.copy | items {|folder, files|
    mkdir $"($b.out)/($folder)"
    for file in $files {
      let found = (glob $file)
      if $found == [] { error make {msg: $"copy: there is no ($file) for ($folder)"} }
      cp -r ...$found $"($b.out)/($folder)"
    }
  } | ignore
  # Lists of libtool name folders of the build; each package has an index of info pages, which no two can share.
  rm -f ...(glob $"($b.out)/lib/**/*.la") ...(glob $"($b.out)/share/info/dir")
  # In a replacement $$ is a dollar.
  for file in (glob $"($b.out)/{lib,share}/pkgconfig/*.pc") {
    open --raw $file | str replace --all --multiline --regex $"^prefix=($prefix)$" 'prefix=$${pcfiledir}/../..' | save --force $file
  }
  for file in (glob $"($b.out)/bin/*-config") {
    open --raw $file | str replace --all --multiline --regex $"^prefix=\"?($prefix)\"?$" 'prefix=$$(cd "$${0%/*}/.." && pwd)' | save --force $file
    chmod +x $file
  }
  if ($"($b.out)/bin" | path exists) { fix shebangs $"($b.out)/bin" }
  if $how.finish? != null { do $how.finish $b }
  if $how.runs != [] { # the paths make these packages references of this one
    mkdir $"($b.out)/share/nuka"
    $how.runs | each {|name| $"($b.packages | get $name)\n" } | str join | save $"($b.out)/share/nuka/($b.name).runs"
  }
  $how.wrap | items {|name, with| shelter $b $name $with } | ignore
}

# Put a program behind another of its name, which tells it where the package is.
def shelter [b: record, name: string, with: record] {
  let here = {|text| $text | str replace --all /nuka/self $b.out }
  mkdir $"($b.out)/libexec"
  mv $"($b.out)/bin/($name)" $"($b.out)/libexec/($name)"
  let args = ($with.args? | default [] | each {|a| do $here $a })
  let vars = ($with.env? | default {} | items {|k, v| {$k: (do $here $v)} } | into record)
  wrap exe $"($b.out)/bin/($name)" $"($b.out)/libexec/($name)" --args $args --env $vars
}
