package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/MordragT/nuka/sandbox"
)

// A foreignRun is one command of TestForeign: arguments of nuka exec, and what its output must contain.
type foreignRun struct {
	args []string
	want string
	fail bool
}

// foreignRuns run one after the other, in one home and one folder, which has the files of foreignFiles.
func foreignRuns() []foreignRun {
	python := []string{"--runtime", "python"}
	in := func(base []string, more ...string) []string { return append(append([]string{}, base...), more...) }
	torch := in(python, "--with", "./torch.nu", "--with", "./typing.nu", "--app", "torch")
	const ones = "import torch; print(torch.ones(2) + 1)"
	const qt = "from PySide6.QtWidgets import QApplication, QLabel; a = QApplication([]); w = QLabel(); w.show(); a.processEvents(); print('Qt answers')"
	return []foreignRun{
		{in(python, "--", "python3", "-c", "import ssl, sqlite3, json; print(1)"), "1\n", false},
		{in(python, "--allow", "network", "--", "pip", "install", "six", "idna", "certifi"), "Successfully installed", false},
		{in(python, "--", "python3", "-c", "import six, idna, certifi; print(six.__name__)"), "six\n", false},
		{in(python, "--", "python3", "-c", "import urllib.request; urllib.request.urlopen('http://192.0.2.1')"), "unreachable", true},
		{[]string{"--runtime", "node", "--allow", "network", "--allow", "files=.", "--", "npm", "install", "express"}, "added", false},
		{[]string{"--runtime", "node", "--allow", "files=.", "--", "node", "server.js"}, "express answers\n", false},
		{[]string{"--runtime", "go", "--allow", "files=.", "--", "go", "run", "./main.go"}, "go answers\n", false},
		{[]string{"--runtime", "java", "--allow", "files=.", "--", "sh", "-c", "javac H.java && java H"}, "java answers\n", false},
		{[]string{"--runtime", "cc", "--allow", "files=.", "--", "sh", "-c", "make -s -f c.mk && ./c"}, "c answers\n", false},
		{[]string{"--runtime", "rust", "--allow", "network", "--", "cargo", "install", "--locked", "--version", "0.16.0", "hexyl"}, "Installed package", false},
		{[]string{"--runtime", "rust", "--", "sh", "-c", "echo abc | ~/.cargo/bin/hexyl --plain"}, "61 62 63", false},
		{[]string{"--runtime", "emscripten", "--allow", "files=.", "--", "emcc", "-O2", "-sSTANDALONE_WASM", "-sALLOW_MEMORY_GROWTH", "c.c", "-o", "c.wasm"}, "", false},
		{[]string{"--runtime", "emscripten", "--with", "./par.nu", "--allow", "files=.", "--", "sh", "-c", parByEmcc}, "par.wasm", false},
		{in(torch, "--", "python3", "-c", ones), "libtorch_global_deps.so", true}, // without the look-up it fails
		{in(torch, "--auto", "--", "python3", "-W", "ignore", "-c", ones), "tensor([2., 2.])\n", false},
		{in(torch, "--", "python3", "-W", "ignore", "-c", ones), "tensor([2., 2.])\n", false}, // it is remembered
		{in(python, "--app", "cv", "--allow", "network", "--", "pip", "install", "opencv-python"), "Successfully installed", false},
		{in(python, "--app", "cv", "--", "python3", "-c", "import cv2"), "ImportError", true},
		{in(python, "--app", "cv", "--auto", "--", "python3", "-c", "import cv2; print(cv2.__name__)"), "cv2\n", false},
		{in(python, "--app", "qt", "--allow", "network", "--", "pip", "install", "PySide6-Essentials"), "Successfully installed", false},
		{in(python, "--app", "qt", "--auto", "--env", "QT_QPA_PLATFORM=xcb", "--", "python3", "-c", qt), "libqxcb.so: libxkbcommon-x11-0,libxcb-cursor0", true},
		{in(python, "--app", "qt", "--add", "libxcb-cursor0,libxcb-icccm4", "--env", "QT_QPA_PLATFORM=offscreen", "--", "python3", "-c", qt), "adding 6 packages: libxcb-cursor0 libxcb-icccm4 ", false},
		{in(python, "--app", "qt", "--env", "QT_QPA_PLATFORM=offscreen", "--", "python3", "-c", qt), "Qt answers\n", false}, // they are remembered
	}
}

var foreignFiles = map[string]string{
	"server.js": `const app = require('express')(); app.get('/', (q, r) => r.send('express answers'));
const s = app.listen(0, '127.0.0.1', () => require('http').get(s.address(), r => { r.on('data', d => console.log(String(d))); r.on('end', () => process.exit(0)) }));
`,
	"main.go": "package main\n\nfunc main() { print(\"go answers\\n\") }\n",
	"H.java":  "public class H { public static void main(String[] a) { System.out.println(\"java answers\"); } }\n",
	"c.c":     "#include <stdio.h>\nint main() { puts(\"c answers\"); return 0; }\n",
	"c.mk":    "c: c.c\n\tgcc -O2 -o c c.c\n",
	"torch.nu": `use base/debian.nu
# The files of python3-torch alone.
export def main [] { debian debs [python3-torch] | where name == python3-torch | first }
`,
	"typing.nu": `use base/debian.nu
export def main [] { debian debs [python3-typing-extensions] | where name == python3-typing-extensions | first }
`,
	"par.nu": `export def main [] {
  derivation {
    name: par-source
    src: (fetch debsrc par 1.53.0-2 --hash b3-nuynmuh3oa42sbt7ok7wtctkpo6kheqnjwfw3mgca2aorkmjvneq)
    build: {|b| mkdir $"($b.out)/share"; cp -r $b.src $"($b.out)/share/par" }
  }
}
`,
	"parwasm.nu": "export def main [] { derivation {name: par, src: (fetch path ./par.wasm), build: {|b| mkdir $\"($b.out)/bin\"; cp $b.src $\"($b.out)/bin/par\"}} }\n",
	"wasm.nu": `export def main [] { derivation {name: c, src: (fetch path ./c.wasm), build: {|b| mkdir $"($b.out)/bin"; cp $b.src $"($b.out)/bin/c"}} }
`,
}

// parByEmcc builds an upstream program with its own makefile.
const parByEmcc = `mkdir par && cp -r /usr/share/par/. par && chmod -R u+w par && cd par && make -f protoMakefile CC="emcc -O2 -c" LINK1="emcc -O2 -sSTANDALONE_WASM" LINK2=-o E=.wasm RM="rm -f" JUNK="" && ls *.wasm && cp par.wasm ..`

// TestForeign runs programs of all runtimes, as root and as a user without rights, with packages out of the registries. It downloads some 700 MB for each user.
func TestForeign(t *testing.T) {
	if os.Getenv("NUKA_LONG") == "" {
		t.Skip("it downloads all runtimes: NUKA_LONG=1 go test ./cmd/nuka -run TestForeign -timeout 1h")
	}
	users := []int{os.Getuid()}
	if os.Getuid() == 0 {
		users = append(users, 1001)
	}
	for _, uid := range users {
		t.Run(fmt.Sprint("user ", uid), func(t *testing.T) {
			dir, err := os.MkdirTemp("", "n") //nolint:usetesting // short: the name of a socket has to fit
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			for name, text := range foreignFiles {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range []string{"nuka", "nukad", sandbox.LauncherName} {
				b, err := os.ReadFile(filepath.Join(programs, name))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, name), b, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if uid != os.Getuid() {
				if out, err := exec.Command("chown", "-R", fmt.Sprint(uid, ":", uid), dir).CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			nuka := func(args ...string) (string, error) {
				c := exec.Command(filepath.Join(dir, "nuka"), args...)
				c.Dir, c.Env = dir, []string{"HOME=" + dir, "NUKA_HOME=" + filepath.Join(dir, "n"), "PATH=/usr/bin:/bin", "TERM=dumb"}
				if uid != os.Getuid() {
					c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
				}
				var out bytes.Buffer
				c.Stdout, c.Stderr = &out, &out
				err := c.Run()
				return out.String(), err
			}
			defer nuka("daemon", "stop") //nolint:errcheck // the home goes
			for _, r := range foreignRuns() {
				start := time.Now()
				out, err := nuka(append([]string{"exec"}, r.args...)...)
				if (err != nil) != r.fail || !strings.Contains(out, r.want) {
					t.Errorf("nuka exec %q: %v, want %q in\n%s", r.args, err, r.want, out)
				}
				t.Logf("%6.1fs  nuka exec %s", time.Since(start).Seconds(), strings.Join(r.args, " "))
			}
			if out, err := nuka("run", "./parwasm.nu", "--", "help"); err != nil || !strings.Contains(out, "Options for par") {
				t.Errorf("run par of emcc: %v\n%s", err, out)
			}
			if out, err := nuka("run", "./wasm.nu"); err != nil || !strings.Contains(out, "c answers\n") {
				t.Errorf("run what emcc made: %v\n%s", err, out)
			}
		})
	}
}
