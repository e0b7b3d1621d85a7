package profile

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/MordragT/nuka/protocol"
)

// TestBrokenProfile puts wrong things into a profile: each gives an error with a code and a hint, and another generation can still be used.
func TestBrokenProfile(t *testing.T) {
	link := func(target, at string) error {
		os.RemoveAll(at)
		return os.Symlink(target, at)
	}
	for name, c := range map[string]struct {
		do   func(d *Dir) error
		code protocol.Code
	}{
		"current points outside": {func(d *Dir) error { return link("../other/1", filepath.Join(d.Path(), Current)) }, protocol.Damaged},
		"current is absolute":    {func(d *Dir) error { return link(d.Folder(2), filepath.Join(d.Path(), Current)) }, protocol.Damaged},
		"current loops":          {func(d *Dir) error { return link(Current, filepath.Join(d.Path(), Current)) }, protocol.Damaged},
		"current dangles":        {func(d *Dir) error { return link("9", filepath.Join(d.Path(), Current)) }, protocol.NotFound},
		"current has a zero":     {func(d *Dir) error { return link("02", filepath.Join(d.Path(), Current)) }, protocol.Damaged},
		"current is a file": {func(d *Dir) error {
			os.Remove(filepath.Join(d.Path(), Current))
			return os.WriteFile(filepath.Join(d.Path(), Current), []byte("2"), 0o644)
		}, protocol.Damaged},
		"generation is a link": {func(d *Dir) error {
			if err := os.Rename(d.Folder(2), filepath.Join(filepath.Dir(d.Path()), "moved")); err != nil {
				return err
			}
			return os.Symlink(filepath.Join(filepath.Dir(d.Path()), "moved"), d.Folder(2))
		}, protocol.Damaged},
		"no record":        {func(d *Dir) error { return os.Remove(filepath.Join(d.Folder(2), record)) }, protocol.Damaged},
		"record is a link": {func(d *Dir) error { return link("/dev/zero", filepath.Join(d.Folder(2), record)) }, protocol.Damaged},
		"record is cut":    {func(d *Dir) error { return os.Truncate(filepath.Join(d.Folder(2), record), 20) }, protocol.Damaged},
		"record is empty":  {func(d *Dir) error { return os.Truncate(filepath.Join(d.Folder(2), record), 0) }, protocol.Damaged},
		"record is huge":   {func(d *Dir) error { return os.Truncate(filepath.Join(d.Folder(2), record), 1<<34) }, protocol.Damaged},
		"record is of another format": {func(d *Dir) error {
			return edit(filepath.Join(d.Folder(2), record), `"profile":1`, `"profile":2`)
		}, protocol.Damaged},
		"record has another PID": {func(d *Dir) error {
			return edit(filepath.Join(d.Folder(2), record), id("p02").String(), id("evil").String())
		}, protocol.Damaged},
		"record leaves the tree": {func(d *Dir) error {
			return edit(filepath.Join(d.Folder(2), record), `"share/doc"`, `"../doc"`)
		}, protocol.Damaged},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, t.TempDir())
			add(t, d)
			add(t, d)
			if err := c.do(d); err != nil {
				t.Fatal(err)
			}
			_, err := d.Current()
			e := protocol.AsError(err)
			if e == nil || e.Code != c.code || e.Hint == "" {
				t.Fatalf("got %+v, want %s with a hint", e, c.code)
			}
			l, err := d.Lock(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if err := l.Use(1); err != nil {
				t.Fatal(err)
			}
			if g, err := d.Current(); err != nil || g.Number != 1 {
				t.Errorf("got %v, %v; want generation 1", g, err)
			}
		})
	}
}

func edit(path, old, text string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	changed := strings.Replace(string(b), old, text, 1)
	if changed == string(b) {
		return os.ErrInvalid
	}
	return os.WriteFile(path, []byte(changed), 0o644)
}

// TestProfilePlaces checks names of profiles, and folders that cannot hold one.
func TestProfilePlaces(t *testing.T) {
	profiles := t.TempDir()
	for _, name := range []string{"", ".", "..", "../x", "a/b", "-x", ".hidden", "a\x00", strings.Repeat("a", 65), "a\n"} {
		if _, err := Open(profiles, name); protocol.CodeOf(err) != protocol.Invalid {
			t.Errorf("%q: got %v, want invalid", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(profiles, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/", filepath.Join(profiles, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", "link"} {
		if _, err := Open(profiles, name); protocol.CodeOf(err) != protocol.Damaged {
			t.Errorf("%s: got %v, want damaged", name, err)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	if os.Getuid() == 0 { // only root can give a folder away
		other := filepath.Join(profiles, "other")
		if err := os.Mkdir(other, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(other, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(profiles, "other"); protocol.CodeOf(err) != protocol.Denied || !strings.Contains(err.Error(), "12345") {
			t.Errorf("got %v, want denied", err)
		}
		return // root may write everywhere
	}
	d := open(t, profiles)
	add(t, d)
	if err := os.Chmod(d.Path(), 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(d.Path(), 0o700) //nolint:errcheck // for the cleanup
	l, err := d.Lock(t.Context(), nil)
	if err == nil {
		err = l.Add(sample(2), "/mnt", start)
		l.Close()
	}
	if protocol.CodeOf(err) != protocol.Denied || protocol.AsError(err).Hint == "" {
		t.Errorf("got %v, want denied with a hint", err)
	}
}

// TestLauncherNames checks that a package cannot put just any file into PATH.
func TestLauncherNames(t *testing.T) {
	commands := []string{"fine", "a b", "it's", "..", ".", ".hidden", "-rf", "a/b", "x\ny", "x\x1b[2J", `a"b`, `a%b`, "", "\u202egnp", strings.Repeat("n", 201)}
	g := &Generation{Packages: map[string]Package{"p": {PID: id("p"), Commands: commands}}}
	var got []string
	for _, l := range g.Launchers() {
		got = append(got, l.Name)
	}
	if want := "a b,fine,it's"; strings.Join(got, ",") != want {
		t.Errorf("got %q, want %s", got, want)
	}
}

// TestLauncherChoice checks which package provides a command.
func TestLauncherChoice(t *testing.T) {
	a := Package{PID: id("a"), Commands: []string{"x", "only-a", "left", "moved"}}
	b := Package{PID: id("b"), Commands: []string{"x"}}
	a.Merge.Leave = []string{"bin/left"}
	a.Merge.Rename = map[string]string{"bin/only-a": "bin/new", "bin/moved": "libexec/moved"}
	b.Merge.Priority = 1
	got := map[string]Launcher{}
	for _, l := range (&Generation{Packages: map[string]Package{"a": a, "b": b}}).Launchers() {
		got[l.Name] = l
	}
	if len(got) != 2 || got["x"].PID != id("b") || got["new"] != (Launcher{"new", id("a"), "only-a"}) {
		t.Errorf("got %v", got)
	}
}

// TestLauncherRuns starts launchers whose nuka is a script that prints its arguments, at awkward paths.
func TestLauncherRuns(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("launchers are scripts of sh")
	}
	for _, folder := range []string{"plain", "with space", "it's $(touch x) `y` \"z\"", strings.Repeat("long", 50)} {
		dir := filepath.Join(t.TempDir(), folder)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		program := filepath.Join(dir, "nuka")
		if err := os.WriteFile(program, []byte("#!/bin/sh\nprintf '<%s>' \"$NUKA_HOME\" \"${NUKA_NODE-unset}\" \"$@\"\nexit 9\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, home := range []string{"", dir} {
			l := Launcher{"it's", id("p"), "it's"}
			name, text := l.file(&Start{Program: program, Home: home})
			at := filepath.Join(dir, name)
			os.Remove(at)
			if err := writeSynced(at, text, 0o755); err != nil {
				t.Fatal(err)
			}
			c := exec.Command(at, "a b", "", "--x", "$HOME")
			c.Env = []string{"NUKA_HOME=/wrong", "NUKA_NODE=wrong", "PATH=/usr/bin:/bin"}
			out, err := c.CombinedOutput()
			want := "<" + home + "><unset><" + LaunchCommand + "><" + id("p").String() + "><it's><a b><><--x><$HOME>"
			if c.ProcessState.ExitCode() != 9 || string(out) != want {
				t.Errorf("%q: got %q, %v; want %q", folder, out, err, want)
			}
		}
		if err := os.Rename(program, program+"-moved"); err != nil {
			t.Fatal(err)
		}
		c := exec.Command(filepath.Join(dir, "it's"))
		out, _ := c.CombinedOutput()
		if c.ProcessState.ExitCode() != 127 || !strings.Contains(string(out), "nuka was moved") || !strings.Contains(string(out), "nuka install --relink") {
			t.Errorf("%q: got %q and %d, want the way out", folder, out, c.ProcessState.ExitCode())
		}
	}
}
