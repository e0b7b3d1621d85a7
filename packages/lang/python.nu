# The Python runtime, and programs of Python projects.
use ../base/debian.nu
use ../base/fhs.nu
use app.nu

# Makes an environment that works in any folder: its scripts find their interpreter beside them. What names the folder of the build goes.
const normal = r#'
import os, pathlib, re, sys
out = pathlib.Path(sys.argv[1])
for name in ["activate", "activate.csh", "activate.fish", "Activate.ps1"]:
    (out / "bin" / name).unlink(missing_ok=True)
keep = [line for line in (out / "pyvenv.cfg").read_text().splitlines() if re.match(r"(home|include-system-site-packages|version) ", line)]
(out / "pyvenv.cfg").write_text("\n".join(keep) + "\n")
for times in out.glob("lib/*/site-packages/*.dist-info/uv_cache.json"):  # of files, for uv's own cache
    times.unlink()
    record = times.with_name("RECORD")
    record.write_text("".join(line for line in record.read_text().splitlines(keepends=True) if "/uv_cache.json," not in line))
shebang = ("#!" + str(out) + "/bin/python").encode()
for script in sorted((out / "bin").iterdir()):
    if script.is_symlink() or not script.is_file():
        continue
    text = script.read_bytes()
    if text.startswith(shebang):
        rest = text.split(b"\n", 1)[1]
        start = b"#!/bin/sh\n'''exec' \"$(dirname -- \"$(readlink -f -- \"$0\")\")/python3\" \"$0\" \"$@\"\n' '''\n"
        script.write_bytes(start + rest)
        script.chmod(0o755)
'#

# Puts the modules of Debian packages into an environment. Links to libraries of other Debian packages, which are relative there, name the runtime's.
const modules = '
import os, pathlib, shutil, sys, sysconfig
out, debs = pathlib.Path(sys.argv[1]), sys.argv[2:]
site = pathlib.Path(sysconfig.get_path("purelib", "posix_prefix", {"base": str(out)}))
for deb in debs:
    inside = pathlib.Path("/usr/lib/python3/dist-packages")
    here = pathlib.Path(deb + str(inside))
    shutil.copytree(here, site, symlinks=True, dirs_exist_ok=True)
    for path in [site, *site.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o200)
    for path in here.rglob("*"):
        if not path.is_symlink():
            continue
        at = path.relative_to(here)
        target = os.path.normpath((inside / at).parent / os.readlink(path))
        if not pathlib.Path(target).is_relative_to(inside):
            (site / at).unlink()
            (site / at).symlink_to(target)
'

# Compiles the modules of the interpreter, into the folders beside them that Python looks into. Python compares nothing of such a file with its source.
const compile = '
import importlib.util, pathlib, py_compile, sys
out = pathlib.Path(sys.argv[1])
for top in sorted(pathlib.Path("/usr/lib").glob("python3*")):
    for source in sorted(top.rglob("*.py")):
        file = pathlib.Path(importlib.util.cache_from_source(str(source)))
        made = out / file.relative_to("/usr")
        try:
            py_compile.compile(str(source), str(made), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        except py_compile.PyCompileError:  # templates, and syntax of other versions
            pass
'

const description = "The Python runtime, from Debian 13: python3, pip and venv."

export def main [
  --arch: string = "amd64"
  --packages: list<string> = []  # more Debian packages of the lock file, with what they need
  --add: list<any> = []          # other packages, whose files go into the runtime
] {
  fhs runtime python --groups [python] --packages $packages --add [(bytecode --arch $arch) ...$add] --arch $arch --description $description
}

# The byte code of Python's own modules and of pip, which an interpreter would otherwise compile in memory at each import.
export def bytecode [--arch: string = "amd64"] {
  let compile = $compile
  derivation {
    name: python-bytecode
    version: "3.13"
    platform: $"linux-(match $arch { "arm64" => "aarch64", _ => "x86_64" })-gnu"
    runtime: (fhs runtime python --groups [python] --arch $arch --description $description)
    build: {|b|
      $compile | save compile.py
      ^python3 compile.py $b.out
    }
  }
}

# uv, as the index has it: one native program in a wheel.
export def uv [] {
  derivation {
    name: uv
    version: "0.12.20"
    license: "MIT OR Apache-2.0"
    platform: linux-x86_64
    src: (fetch pypi uv 0.12.20 --file "*manylinux*x86_64.whl" --unpack archive --strip 0 --hash b3-vobsefmdbm7f6b3dzmz4btxt25gphy34amkoooisbz3yb5y5xsza)
    build: {|b|
      mkdir $"($b.out)/bin"
      for name in [uv uvx] {
        cp $"($b.src)/uv-0.12.20.data/scripts/($name)" $"($b.out)/bin/($name)"
        chmod +x $"($b.out)/bin/($name)"
      }
    }
  }
}

# A program of a Python project, in a virtual environment of its own. pip installs it and what it needs, as the recording answers.
#
#     python app {name: httpie, version: "3.2.4", src: (fetch pypi httpie 3.2.4 --hash …), recording: ./recording.nuon}
#
# Its fields, beside those of a derivation:
#   recording     the file that nuka lock writes
#   src           the project; without it pip installs the release `name` `version` of the index
#   install       what pip installs, in place of the project, such as ["httpie[socks]==3.2.4"]
#   pip           arguments of pip install, such as [--only-binary :all:]
#   uv            true: `uv sync --frozen` installs the project and what its uv.lock names, in place of pip; a list has arguments of uv sync
#   system        Debian packages that it needs beside the Python runtime, such as [libcairo2]
#   build_system  those that only its build needs, such as [gcc libcairo2-dev]
#   modules       Debian packages of the lock file whose Python modules are part of the environment, such as [python3-torch]; what they need is looked up
#                 as for all others, and their own dependencies are ignored
export def app [spec: record] {
  let by_uv = ($spec.uv? | default false) != false
  # uv.lock has whole addresses, so uv reaches the recorder as a proxy.
  let door = if $by_uv { "proxy" } else { "registry" }
  let recording = (fetch recording $spec.recording --ecosystem pip --door $door)
  let runtime = (main --packages (app locked $spec) --add [...(app pins $recording) ...(if $by_uv { [(uv)] } else { [] })])
  let sync = if ($spec.uv? | describe) =~ "^list" { $spec.uv } else { [] }
  let install = ($spec.install? | default (if $spec.src? == null { [$"($spec.name)==($spec.version)"] } else { ["/nuka/build/project"] }))
  let arguments = ($spec.pip? | default [])
  let from_source = $spec.src? != null
  let normalise = $normal
  let bring = $modules
  let names = ($spec.modules? | default [])
  let debs = (debian debs $names | where name in $names | reduce --fold {} {|p, all| $all | insert $p.name $p})
  let src = if ($names | is-empty) { {} } else { {src: ($debs | merge (if $from_source { {project: $spec.src} } else { {} }))} }
  app package ($spec | merge $src) $runtime $recording --leave [install pip uv modules] --vars {PYTHONDONTWRITEBYTECODE: "1"} --build {|b|
    if $from_source { app project (if ($names | is-empty) { $b.src } else { $b.src.project }) /nuka/build/project }
    ^python3 -m venv --without-pip $b.out
    if ($names | is-not-empty) {
      $bring | save modules.py
      ^python3 modules.py $b.out ...($names | each {|n| $b.src | get $n })
    }
    if $by_uv {
      cd /nuka/build/project
      $env.UV_PROJECT_ENVIRONMENT = $b.out
      $env.UV_LINK_MODE = "copy"
      ^uv sync --frozen --no-dev --no-editable --python $"($b.out)/bin/python3" --no-progress ...$sync
      cd /nuka/build
    } else if ($install | is-not-empty) {
      ^python3 -m pip --python $"($b.out)/bin/python3" install --no-compile --no-input --no-warn-script-location --progress-bar off ...$arguments ...$install
    }
    $normalise | save normalise.py
    ^python3 normalise.py $b.out
    ^python3 -m compileall -f -q -j 1 --invalidation-mode unchecked-hash -s $b.out $"($b.out)/lib"
  }
}
