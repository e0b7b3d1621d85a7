package fsmount_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/fsmount/checkout"
)

// A program is needed for a test of real work.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip(err)
	}
	return path
}

// everywhere shows a tree in three ways, and calls work with the path of each: "disk" is an export, the others are a mount and a checkout. What work
// returns must be the same for all.
func everywhere(t *testing.T, tree fs.FS, work func(t *testing.T, root string) string) {
	t.Helper()
	j, _, _ := newJob(t, false)
	store, err := cas.Open(filepath.Join(j.Dir, "store"), nil)
	if err != nil {
		t.Fatal(err)
	}
	id, root := castest.Package(t, store, castest.Key(1), "work", tree)
	disk := filepath.Join(j.Dir, "disk")
	if err := store.Export(t.Context(), root, disk); err != nil {
		t.Fatal(err)
	}
	c, err := checkout.Open(&checkout.Options{Store: store, Path: filepath.Join(j.Dir, "checkouts")})
	if err != nil {
		t.Fatal(err)
	}
	checkedOut, err := c.Make(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := j.start(t)
	defer killed(t, cmd)
	j.await(t, id)
	var want string
	for _, place := range []struct{ name, root string }{{"disk", disk}, {"mount", filepath.Join(j.mount(), id.String())}, {"checkout", checkedOut}} {
		begun := time.Now()
		got := work(t, place.root)
		t.Logf("%s: %v: %.200q", place.name, time.Since(begun).Round(time.Millisecond), got)
		if want == "" {
			want = got
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s differs from the disk (-disk +%s):\n%s", place.name, place.name, diff)
		}
	}
}

// run runs a command and returns what it prints, with root replaced.
func run(t *testing.T, root, dir string, env []string, name string, args ...string) string {
	t.Helper()
	// A shell changes the folder and executes: see testExec.
	cmd := exec.Command("/bin/sh", append([]string{"-c", `cd "$0" && exec "$@"`, dir, name}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	text := strings.ReplaceAll(string(out), root, "ROOT")
	if err != nil {
		text += "\n" + err.Error()
	}
	return text
}

// TestGoBuild builds a program with the Go distribution in each place. The binary is the same.
func TestGoBuild(t *testing.T) {
	if os.Getenv("NUKA_LONG") == "" {
		t.Skip("it compiles parts of the standard library three times: NUKA_LONG=1 go test ./fsmount -run TestGoBuild")
	}
	out, err := exec.Command(program(t, "go"), "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	src := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module hello\n\ngo 1.24\n",
		"main.go": "package main\n\nimport (\n\t\"encoding/json\"\n\t\"fmt\"\n)\n\nfunc main() {\n\tb, err := json.Marshal([]int{1, 2})\n\tfmt.Println(string(b), err)\n}\n",
	} {
		if err := os.WriteFile(filepath.Join(src, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	everywhere(t, os.DirFS(strings.TrimSpace(string(out))), func(t *testing.T, root string) string {
		to := filepath.Join(t.TempDir(), "hello")
		env := []string{"GOROOT=" + root, "GOCACHE=" + t.TempDir(), "GOTOOLCHAIN=local", "GOFLAGS=", "CGO_ENABLED=0", "GOWORK=off"}
		text := run(t, root, src, env, filepath.Join(root, "bin/go"), "build", "-p", "2", "-trimpath", "-buildvcs=false", "-o", to, ".")
		text += run(t, root, src, env, to)
		b, err := os.ReadFile(to)
		if err != nil {
			t.Fatal(text, err)
		}
		return fmt.Sprintf("%s %x", text, sha256.Sum256(b))
	})
}

// TestPython imports many modules, some of which do not exist.
func TestPython(t *testing.T) {
	python, modules := program(t, "python3"), 500
	if os.Getenv("NUKA_LONG") != "" {
		modules = 5000
	}
	tree := fstest.MapFS{}
	var all bytes.Buffer
	for i := range modules {
		dir := fmt.Sprintf("p%02d", i%50)
		tree[dir+"/__init__.py"] = &fstest.MapFile{Data: []byte("kind = 'package'\n"), Mode: 0o644}
		tree[fmt.Sprintf("%s/m%d.py", dir, i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "from . import kind\nvalue = %d\n", i), Mode: 0o644}
		fmt.Fprintf(&all, "%s.m%d ", dir, i)
	}
	tree["names"] = &fstest.MapFile{Data: all.Bytes(), Mode: 0o644}
	const script = `
import importlib, os, sys
root = sys.argv[1]
sys.path.insert(0, root)
names = open(os.path.join(root, "names")).read().split()
total = sum(importlib.import_module(n).value for n in names)
missing = 0
for n in names[::10]:
    try: importlib.import_module(n + "x")
    except ModuleNotFoundError: missing += 1
print(total, missing, len([m for m in sys.modules if m[0] == "p" and m[1:3].isdigit()]))
`
	everywhere(t, tree, func(t *testing.T, root string) string {
		return run(t, root, root, nil, python, "-B", "-S", "-c", script, root)
	})
}

// TestGit asks git about a work tree that is the folder itself, and about one whose files are links into it, before and after a change.
func TestGit(t *testing.T) {
	git := program(t, "git")
	tree := castest.Tree()
	for i := range 100 {
		tree[fmt.Sprintf("src/%d/%d.c", i%7, i)] = &fstest.MapFile{Data: pattern(i * 31), Mode: 0o644}
	}
	tree["tool"] = &fstest.MapFile{Data: []byte("#!/bin/sh\n"), Mode: 0o755}
	everywhere(t, tree, func(t *testing.T, root string) string {
		dir := t.TempDir()
		env := []string{"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_OPTIONAL_LOCKS=0"}
		const who = "-c core.fsync=none -c user.name=a -c user.email=a@b -c commit.gpgsign=false "
		of := func(work, args string) string {
			options := append([]string{"--git-dir=" + filepath.Join(dir, "git"), "--work-tree=" + work}, strings.Fields(who+args)...)
			return run(t, root, work, env, git, options...)
		}
		text := run(t, root, dir, env, git, "init", "-q", "--bare", "git")
		text += of(root, "add -A") + of(root, "commit -q -m all") + "status: " + of(root, "status --porcelain")
		text += of(root, "ls-files -s")[:2000]

		links := filepath.Join(dir, "links") // a work tree of links
		err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			to := filepath.Join(links, strings.TrimPrefix(p, root))
			switch {
			case err != nil:
				return err
			case d.IsDir():
				return os.MkdirAll(to, 0o755)
			}
			return os.Symlink(p, to)
		})
		if err != nil {
			t.Fatal(err)
		}
		text += "links: " + of(links, "status --porcelain") // the type of each file has changed
		text += of(links, "add -A") + of(links, "commit -q -m links") + "status: " + of(links, "status --porcelain")
		changed := filepath.Join(links, "src/1/1.c")
		b, err := os.ReadFile(changed)
		if err == nil {
			err = os.Remove(changed)
		}
		if err == nil {
			err = os.WriteFile(changed, append(b, 'x'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		return text + "changed: " + of(links, "status --porcelain") + "diff: " + of(links, "diff --name-status HEAD")
	})
}
