package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/foreign/prepared"
	"github.com/MordragT/nuka/internal/skip"
	"github.com/MordragT/nuka/sandbox"
)

// TestPreparedWords compares how package prepared reads a command line with how the command does.
func TestPreparedWords(t *testing.T) {
	t.Setenv("NUKA_PACKAGES", "")
	words := []string{"--runtime", "--with", "--allow", "--app=x", "--app", "--env", "--env=A=1", "--yes", "--offline", "--shell", "--auto", "-y", "-v", "--", "-", "", "true", "A=1", "--runtime=", "--no", "x"}
	known := 0
	for range 20000 {
		var args []string
		for range rand.IntN(7) {
			args = append(args, words[rand.IntN(len(words))])
		}
		_, program, ok := prepared.KeyOf(args)
		if !ok {
			continue
		}
		known++
		a, c := &app{}, &cobra.Command{}
		var o execOptions
		a.execFlags(c, &o)
		c.Flags().SetOutput(io.Discard)
		if err := c.Flags().Parse(args); err != nil {
			t.Fatalf("%q: prepared, and wrong: %v", args, err)
		}
		if got := o.program(c.Flags().Args()); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", program) {
			t.Fatalf("%q: the program is %q, and prepared %q", args, got, program)
		}
	}
	if known < 1000 {
		t.Errorf("only %d command lines were compared", known)
	}
}

// A preparedHome is a home with a runtime, whose prepared run a test marks: the program then sees the variable MARKED.
type preparedHome struct {
	*victim
	t *testing.T
}

func newPreparedHome(t *testing.T) *preparedHome {
	p, err := sandbox.Start(t.Context(), filepath.Join(programs, sandbox.LauncherName), &sandbox.Spec{}, nil)
	if err != nil {
		if forbidden := (*sandbox.ForbiddenError)(nil); errors.As(err, &forbidden) {
			skip.Wall(t, err)
		}
		t.Fatal(err)
	}
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	home, err := os.MkdirTemp("", "p") //nolint:usetesting // short: the name of a socket has to fit
	if err != nil {
		t.Fatal(err)
	}
	h := &preparedHome{&victim{t: t, home: home, dir: t.TempDir()}, t}
	t.Cleanup(func() {
		stop(t, home)
		os.RemoveAll(home)
	})
	server := serve(t, t.TempDir())
	h.write("tool.nu", fmt.Sprintf(`export def main [] {
  derivation {
    name: tool, platform: linux-x86_64
    src: (fetch url %s/tool.native --unpack file --hash sha256-%x)
    build: {|b| mkdir $"($b.out)/bin"; cp $b.src $"($b.out)/bin/tool"; chmod +x $"($b.out)/bin/tool" }
  }
}
`, server.URL, sha256.Sum256(toolNative)))
	h.write("rt.nu", "use tool.nu\nexport def main [] { derivation {name: rt, layout: fhs-1, packages: [(tool)]} }\n")
	h.write("foreign", string(toolNative))
	if err := os.Chmod(filepath.Join(h.dir, "foreign"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(h.dir, "given", "inner"), 0o755); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *preparedHome) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// run runs the command line of the test and returns whether the marked run was used, and what the program or nuka wrote.
func (h *preparedHome) run(words ...string) (marked bool, out string, err error) {
	h.t.Helper()
	c, b := h.command(append([]string{"exec", "--runtime", "./rt.nu", "--allow", "files=given", "./foreign"}, words...)...)
	err = c.Run()
	return strings.Contains(b.String(), "MARKED=1"), b.String(), err
}

// files returns the prepared runs.
func (h *preparedHome) files() []string {
	names, _ := filepath.Glob(filepath.Join(h.home, "cache", "exec", "[^.]*"))
	return names
}

// prepare has a run prepared anew, marks it, and checks that the mark is seen.
func (h *preparedHome) prepare() string {
	h.t.Helper()
	if err := os.RemoveAll(filepath.Join(h.home, "cache", "exec")); err != nil {
		h.t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(300 * time.Millisecond) {
		if _, out, err := h.run("env"); err != nil {
			h.t.Fatalf("%v: %s", err, out)
		}
		if len(h.files()) == 1 {
			break
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("no run is prepared: %v", h.files())
		}
	}
	name := h.files()[0]
	h.edit(name, func(run map[string]any) {
		spec := run["spec"].(map[string]any)
		spec["env"] = append(spec["env"].([]any), "MARKED=1")
	})
	if marked, out, err := h.run("env"); !marked || err != nil {
		h.t.Fatalf("the prepared run is not used: %v, %s", err, out)
	}
	return name
}

// edit changes a prepared run as its user could.
func (h *preparedHome) edit(name string, change func(run map[string]any)) {
	h.t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		h.t.Fatal(err)
	}
	magic, text := b[:bytes.IndexByte(b, '\n')+1], b[bytes.IndexByte(b, '\n')+9:]
	var whole map[string]any
	if err := json.Unmarshal(text, &whole); err != nil {
		h.t.Fatal(err)
	}
	change(whole["run"].(map[string]any))
	if text, err = json.Marshal(whole); err != nil {
		h.t.Fatal(err)
	}
	sum := fnv.New64a()
	sum.Write(text)
	if err := os.WriteFile(name, append(binary.LittleEndian.AppendUint64(magic, sum.Sum64()), text...), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// TestPrepared takes away, one after the other, what a run was prepared from. The prepared run must not be used any more, and what the change means must count.
func TestPrepared(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for file times again and again")
	}
	h := newPreparedHome(t)
	in := func(parts ...string) string { return filepath.Join(append([]string{h.dir}, parts...)...) }
	h.prepare()
	var exit *exec.ExitError
	if _, _, err := h.run("fail", "7", "x"); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("exit code: got %v, want 7", err)
	}
	if _, out, err := h.run("cat", in("given", "new")); err == nil || strings.Contains(out, "nuka:") {
		t.Errorf("got %v, %s", err, out)
	}
	tests := []struct {
		name   string
		change func(file string) error
		undo   func()
		fails  string // what nuka says, or "" if the program runs
	}{
		{"another file in place of the program", func(string) error {
			h.write("foreign-2", string(toolNative))
			if err := os.Chmod(in("foreign-2"), 0o755); err != nil {
				return err
			}
			return os.Rename(in("foreign-2"), in("foreign"))
		}, nil, ""},
		{"package file edited", func(string) error {
			h.write("rt.nu", "use tool.nu\n# the same package\nexport def main [] { derivation {name: rt, layout: fhs-1, packages: [(tool)]} }\n")
			return nil
		}, nil, ""},
		{"a file that it uses edited", func(string) error { return os.Chtimes(in("tool.nu"), time.Time{}, time.Now()) }, nil, ""},
		{"a repository around the package file", func(string) error { return os.Mkdir(in(".git"), 0o755) }, func() { os.RemoveAll(in(".git")) }, ""},
		{"a permission taken away", func(string) error {
			h.works("permissions", "set", filepath.Base(h.app()), "--deny", "network")
			return nil
		}, func() { h.works("permissions", "reset", filepath.Base(h.app())) }, ""},
		{"packages added to the application", func(string) error {
			name := filepath.Join(h.home, "apps", ".packages", filepath.Base(h.app()))
			if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
				return err
			}
			return os.WriteFile(name, []byte("{added: 1, arch: none, packages: {}}"), 0o600)
		}, func() { os.RemoveAll(filepath.Join(h.home, "apps", ".packages")) }, "--auto finds the packages again"},
		{"a link in place of the granted folder", func(string) error {
			if err := os.Rename(in("given"), in("moved")); err != nil {
				return err
			}
			return os.Symlink(filepath.Join(h.home, "keys"), in("given"))
		}, func() {
			os.Remove(in("given"))
			if err := os.Rename(in("moved"), in("given")); err != nil {
				t.Fatal(err)
			}
		}, "belongs to nuka"},
		{"the granted folder gone", func(string) error { return os.Rename(in("given"), in("moved")) }, func() {
			if err := os.Rename(in("moved"), in("given")); err != nil {
				t.Fatal(err)
			}
		}, "no such file or folder"},
		{"the home of the application gone", func(string) error { return os.RemoveAll(h.app()) }, nil, ""},
		{"another content of the runtime", func(file string) error {
			h.edit(file, func(run map[string]any) { run["content"] = "another" })
			return nil
		}, nil, ""},
		{"a package that the node does not have", func(file string) error {
			h.edit(file, func(run map[string]any) { run["package"] = strings.Repeat("a", len(run["package"].(string))) })
			return nil
		}, nil, ""},
		{"a run that others may write", func(file string) error { return os.Chmod(file, 0o622) }, nil, ""},
		{"a folder that others may write", func(file string) error { return os.Chmod(filepath.Dir(file), 0o777) }, nil, ""},
		{"the runtime collected, and the daemon ended", func(string) error {
			h.works("gc")
			h.works("daemon", "stop")
			return nil
		}, nil, ""},
		{"a grant that the launcher refuses", func(file string) error {
			h.edit(file, func(run map[string]any) {
				mounts := run["spec"].(map[string]any)["mounts"].([]any)
				mounts[0].(map[string]any)["source"] = "/no/such/folder"
				mounts[0].(map[string]any)["kind"] = "ro"
			})
			return nil
		}, nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := h.prepare()
			if err := test.change(file); err != nil {
				t.Fatal(err)
			}
			if test.undo != nil {
				defer test.undo()
			}
			marked, out, err := h.run("env")
			switch {
			case marked:
				t.Errorf("the prepared run is used: %s", out)
			case test.fails == "" && err != nil || test.fails != "" && (err == nil || !strings.Contains(out, test.fails)):
				t.Errorf("got %v: %s; want %q", err, out, test.fails)
			}
		})
	}
}

// app returns the private home of the application of the test.
func (h *preparedHome) app() string {
	names, _ := filepath.Glob(filepath.Join(h.home, "apps", "foreign-*"))
	if len(names) != 1 {
		h.t.Fatalf("got homes %v", names)
	}
	return names[0]
}

// TestPreparedKeeps: the node keeps the runtime of a prepared run while its program runs, also through a collection, and no longer.
func TestPreparedKeeps(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for file times")
	}
	h := newPreparedHome(t)
	h.prepare()
	for _, kill := range []bool{true, false} {
		ready, proceed := filepath.Join(h.app(), "ready"), filepath.Join(h.app(), "go")
		for _, name := range []string{ready, proceed} {
			if err := os.RemoveAll(name); err != nil {
				t.Fatal(err)
			}
		}
		c, out := h.command("exec", "--runtime", "./rt.nu", "--allow", "files=given", "./foreign", "later", "look", "/usr/bin/tool")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if _, err := os.Stat(ready); err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the program does not run: %s", out)
			}
		}
		time.Sleep(3500 * time.Millisecond) // a node collects nothing for three seconds after its start
		h.works("gc")
		if !h.shown() {
			t.Fatal("the runtime was collected while its program runs")
		}
		if kill {
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = c.Wait()
		} else {
			if err := os.WriteFile(proceed, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := c.Wait(); err != nil || !strings.Contains(out.String(), "found /usr/bin/tool") {
				t.Fatalf("got %v: %s", err, out)
			}
		}
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(200 * time.Millisecond) {
			h.works("gc")
			if !h.shown() {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the runtime is kept after its program has ended")
			}
		}
		if kill { // for the second round
			h.prepare()
		}
	}
}

// shown reports whether the node shows the runtime of the prepared run.
func (h *preparedHome) shown() bool {
	h.t.Helper()
	id := ""
	h.edit(h.files()[0], func(run map[string]any) { id = run["package"].(string) })
	_, err := os.Stat(filepath.Join(h.home, "mnt", id))
	return err == nil
}
