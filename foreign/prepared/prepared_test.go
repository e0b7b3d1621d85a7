//go:build linux

package prepared

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/sandbox"
)

// aged returns a state of a preparation that began when every file of the test was old.
func aged() *State {
	s := NewState()
	s.began = time.Now().Add(time.Hour)
	return s
}

func TestStateSees(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		record func(*State)
		change func() error
		holds  bool
	}{
		{"nothing", func(s *State) { s.File(in("a")) }, func() error { return nil }, true},
		{"content of the same size and time", func(s *State) { s.File(in("a")) }, func() error {
			info, err := os.Stat(in("a"))
			if err != nil {
				return err
			}
			write("a", "2")
			return os.Chtimes(in("a"), info.ModTime(), info.ModTime())
		}, false},
		{"another file", func(s *State) { s.File(in("a")) }, func() error { return os.Rename(in("b"), in("a")) }, false},
		{"mode", func(s *State) { s.File(in("a")) }, func() error { return os.Chmod(in("a"), 0o644) }, false},
		{"removed", func(s *State) { s.File(in("a")) }, func() error { return os.Remove(in("a")) }, false},
		{"made", func(s *State) { s.File(in("new")) }, func() error { write("new", ""); return nil }, false},
		{"link to another", func(s *State) { s.File(in("link")) }, func() error { return relink("b", in("link")) }, false},
		{"leads elsewhere", func(s *State) { s.LeadsTo(in("link")) }, func() error { return relink("b", in("link")) }, false},
		{"leads nowhere", func(s *State) { s.LeadsTo(in("link")) }, func() error { return os.Remove(in("a")) }, false},
		{"a link on the way", func(s *State) { s.LeadsTo(in("sub/x")) }, func() error {
			if err := os.Rename(in("sub"), in("moved")); err != nil {
				return err
			}
			return os.Symlink("moved", in("sub"))
		}, false},
		{"a file for a folder", func(s *State) { s.LeadsTo(in("sub/x")) }, func() error {
			if err := os.Remove(in("sub/x")); err != nil {
				return err
			}
			return os.Mkdir(in("sub/x"), 0o700)
		}, false},
		{"an entry of a folder", func(s *State) { s.Entry(in("sub")) }, func() error { write("sub/y", ""); return nil }, true},
		{"a name in a listed folder", func(s *State) { s.Names(in("sub")) }, func() error { write("sub/y", ""); return nil }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, name := range []string{"a", "b", "new", "link", "sub", "moved"} {
				if err := os.RemoveAll(in(name)); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Mkdir(in("sub"), 0o700); err != nil {
				t.Fatal(err)
			}
			write("a", "1")
			write("b", "1")
			write("sub/x", "")
			if err := os.Symlink("a", in("link")); err != nil {
				t.Fatal(err)
			}
			s := aged()
			test.record(s)
			time.Sleep(10 * time.Millisecond) // the clock of the file system ticks
			if s.lost || !holds(s.facts) {
				t.Fatal("it does not hold before the change")
			}
			if err := test.change(); err != nil {
				t.Fatal(err)
			}
			if got := holds(s.facts); got != test.holds {
				t.Errorf("after the change: got %v, want %v", got, test.holds)
			}
			test.record(s)
			if s.lost == test.holds {
				t.Errorf("recorded once more: lost is %v", s.lost)
			}
		})
	}
}

func relink(to, name string) error {
	if err := os.Remove(name); err != nil {
		return err
	}
	return os.Symlink(to, name)
}

// TestStateOfNewFile: a file that has just changed may change again without a trace.
func TestStateOfNewFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := NewState()
	s.File(name)
	if !s.lost {
		t.Error("the state of a new file is kept")
	}
	s = NewState()
	s.Followed(name, "/elsewhere")
	if !s.lost {
		t.Error("the state is kept though the path leads elsewhere by now")
	}
}

func TestCache(t *testing.T) {
	c := &Cache{filepath.Join(t.TempDir(), "exec")}
	key := Key{"one", "two"}
	run := &Run{Spec: sandbox.Spec{Env: []string{"A=1"}}, Program: "true", Package: "p", Content: "c", Folder: "/f", Socket: "/s"}
	file := filepath.Join(c.Dir, key.hash())
	lost := aged()
	lost.Lose()
	if c.Write(key, run, lost) || c.Read(key) != nil {
		t.Fatal("a lost state is kept")
	}
	s := aged()
	s.File("/no/such/file")
	if !c.Write(key, run, s) {
		t.Fatal("not written")
	}
	got := c.Read(key)
	if got == nil || got.Program != "true" || !slices.Equal(got.Spec.Env, run.Spec.Env) || len(got.facts) != 1 {
		t.Fatalf("got %+v", got)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if decode(whole, Key{"one", "other"}) != nil {
		t.Error("a run of another key is read")
	}
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 1
		if decode(b, key) != nil {
			t.Fatalf("damage in byte %d is not noticed", i)
		}
		if decode(whole[:i], key) != nil {
			t.Fatalf("a file cut off at %d is read", i)
		}
	}
	// The network that a file says first is that of its sandbox.
	for _, net := range []sandbox.Net{sandbox.NetHost, sandbox.NetNone} {
		other := *run
		other.Spec.Net = net
		if !c.Write(Key{"net"}, &other, aged()) || netOf(c.load(Key{"net"})) != net || c.Read(Key{"net"}) == nil {
			t.Errorf("network %q: not written and read", net)
		}
		text := bytes.Clone(c.load(Key{"net"})[len(magic)+sumSize:])
		text[0] ^= netNone ^ netHost
		if decode(seal(text), Key{"net"}) != nil {
			t.Errorf("network %q: a file that says another one first is read", net)
		}
	}
	// What others may write is not read.
	for _, name := range []string{file, c.Dir} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, mode := range []os.FileMode{0o020, 0o002} {
			if err := os.Chmod(name, info.Mode().Perm()|mode); err != nil {
				t.Fatal(err)
			}
			if c.Read(key) != nil {
				t.Errorf("%s is read with mode %o", name, info.Mode().Perm()|mode)
			}
		}
		if err := os.Chmod(name, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			if err := os.Chown(name, 1234, 1234); err != nil {
				t.Fatal(err)
			}
			if c.Read(key) != nil {
				t.Errorf("%s of another user is read", name)
			}
			if err := os.Chown(name, 0, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if c.Read(key) == nil {
		t.Fatal("not read any more")
	}
	if err := os.Rename(file, file+"-1"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file+"-1", file); err != nil {
		t.Fatal(err)
	}
	if c.Read(key) != nil {
		t.Error("a link is followed")
	}
}

func TestKeyOf(t *testing.T) {
	t.Setenv("NUKA_NODE", "")
	os.Unsetenv("NUKA_NODE")
	t.Setenv("NUKA_PACKAGES", "")
	key := func(words ...string) string {
		t.Helper()
		k, program, ok := KeyOf(words)
		if !ok {
			t.Fatalf("%q has no key", words)
		}
		return strings.Join(k, "\x00") + "\x00\x00" + program[0]
	}
	if key("true") != key("--", "true", "more") {
		t.Error("arguments of the program are in the key")
	}
	base := key("true")
	for _, other := range [][]string{{"false"}, {"--runtime", "python", "true"}, {"--allow=network", "true"}, {"--app", "x", "true"}, {"--env", "A=1", "true"}, {"--yes", "true"}} {
		if key(other...) == base {
			t.Errorf("%q has the same key", other)
		}
	}
	if key("--app", "a", "--app", "b", "true") == key("--app", "b", "--app", "a", "true") {
		t.Error("the order of options is not in the key")
	}
	for _, name := range []string{
		"HOME", "USER", "PWD", "PATH", "TMPDIR", "NUKA_HOME", "NUKA_SYSTEM", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR",
		"TERM", "COLORTERM", "COLUMNS", "LINES", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TZ",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "/tmp")
			with := key("true")
			t.Setenv(name, "/")
			if key("true") == with {
				t.Error("it is not in the key")
			}
			os.Unsetenv(name)
			if key("true") == with {
				t.Error("that it is not set is not in the key")
			}
		})
	}
	here := t.TempDir()
	t.Chdir(here)
	if key("true") == base {
		t.Error("the current folder is not in the key")
	}
	for _, words := range [][]string{
		{}, {"--auto", "true"}, {"--env", "PATH", "true"}, {"--packages", "x", "true"}, {"--node", "x", "true"}, {"-y", "true"}, {"--help"}, {"--runtime"}, {"--yes=true", "true"}, {"--json", "true"},
	} {
		if _, _, ok := KeyOf(words); ok {
			t.Errorf("%q has a key", words)
		}
	}
	t.Setenv("NUKA_NODE", "")
	if _, _, ok := KeyOf([]string{"true"}); ok {
		t.Error("a node that was named counts for nothing")
	}
}
