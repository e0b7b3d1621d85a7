# The Python runtime, and programs of Python projects.
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

export def main [
  --arch: string = "amd64"
  --packages: list<string> = []  # more Debian packages of the lock file, with what they need
  --add: list<any> = []          # other packages, whose files go into the runtime
] {
  fhs runtime python --groups [python] --packages $packages --add $add --arch $arch --description "The Python runtime, from Debian 13: python3, pip and venv."
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
#   system        Debian packages of the lock file that it needs beside the Python runtime, such as [libcairo2]
#   build_system  those that only its build needs, such as [gcc libcairo2-dev]
export def app [spec: record] {
  let recording = (fetch recording $spec.recording --ecosystem pip)
  let system = ($spec.system? | default [])
  let runtime = (main --packages [...$system ...($spec.build_system? | default [])] --add (app pins $recording))
  let install = ($spec.install? | default (if $spec.src? == null { [$"($spec.name)==($spec.version)"] } else { ["/nuka/build/project"] }))
  let arguments = ($spec.pip? | default [])
  let from_source = $spec.src? != null
  let normalise = $normal
  app package $spec $runtime $recording --leave [install pip] --vars {PYTHONDONTWRITEBYTECODE: "1"} --build {|b|
    if $from_source { app project $b.src /nuka/build/project }
    ^python3 -m venv --without-pip $b.out
    ^python3 -m pip --python $"($b.out)/bin/python3" install --no-compile --no-input --no-warn-script-location --progress-bar off ...$arguments ...$install
    $normalise | save normalise.py
    ^python3 normalise.py $b.out
    ^python3 -m compileall -f -q -j 1 --invalidation-mode unchecked-hash -s $b.out $"($b.out)/lib"
  }
}
