package main

import (
	"bytes"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/packages"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/apt"
	"github.com/MordragT/nuka/source/apt/apttest"
)

// lockFixture is a package set, an archive over HTTP, and apt's configuration that names it.
type lockFixture struct {
	*apttest.Archive
	t    *testing.T
	key  *apttest.Key
	date time.Time
	set  string
	root string
	home protocol.Home
}

const lockRequest = `{suites: [trixie], archs: [amd64], sonames: true, roots: {base: [aa], more: [cc]}}`

func newLockFixture(t *testing.T) *lockFixture {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	f := &lockFixture{Archive: &apttest.Archive{}, t: t, key: apttest.NewKey(t, now.Add(-time.Hour), 0), date: now.Add(-time.Minute), set: t.TempDir(), root: t.TempDir()}
	dir := t.TempDir()
	f.home = protocol.Home{Data: filepath.Join(dir, "data"), Cache: filepath.Join(dir, "cache")}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.write(f.root, "etc/apt/sources.list", "deb [signed-by=/key] "+server.URL+"/debian bookworm main\n")
	f.write(f.root, "key", string(f.key.Public()))
	f.write(f.set, "base/debian/lock.nuon", lockRequest)
	f.put(apttest.Stanza("aa", "1", "Depends: bb") + apttest.Stanza("bb", "1") + apttest.Stanza("cc", "1"))
	return f
}

func (f *lockFixture) put(text string) {
	f.t.Helper()
	f.Put(f.t, apttest.Suite{
		Codename: "trixie", Date: f.date, Packages: map[string]string{"amd64": text}, Contents: map[string]string{"amd64": "usr/lib/libaa.so.1 libs/aa\n"},
	}, f.key)
}

func (f *lockFixture) write(dir, name, text string) {
	f.t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

func (f *lockFixture) read(name string) string {
	f.t.Helper()
	text, err := os.ReadFile(filepath.Join(f.set, "base/debian", name))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

// lock runs nuka lock and returns what it printed.
func (f *lockFixture) lock(args ...string) (string, error) {
	f.t.Helper()
	var out bytes.Buffer
	a := &app{terminal: &terminal{out: &out, err: &out}, home: f.home, system: f.root}
	c := a.lockCommand()
	c.SetArgs(args)
	c.SilenceErrors, c.SilenceUsage = true, true
	err := c.ExecuteContext(f.t.Context())
	return out.String(), err
}

func TestLockCommand(t *testing.T) {
	f := newLockFixture(t)
	out, err := f.lock(f.set)
	if err != nil || !strings.Contains(out, "3 packages, 3 changed\n+ aa 1\n+ bb 1\n+ cc 1\n") {
		t.Fatal(out, err)
	}
	lock := f.read("amd64.nu")
	l, err := apt.DecodeLock([]byte(lock))
	if err != nil || len(l.Packages) != 3 || !l.Date("trixie").Equal(f.date) {
		t.Fatal(l, err)
	}
	s, err := apt.DecodeSonames([]byte(f.read("soname-amd64.gz")))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := s.Owner("libaa.so.1"); len(got) != 1 || got[0] != "aa" {
		t.Errorf("got %v", got)
	}
	if info, err := os.Stat(filepath.Join(f.set, "base/debian/amd64.nu")); err != nil || info.Mode().Perm() != 0o644 {
		t.Error(info, err)
	}
	if out, err := f.lock(f.set, "--check"); err != nil || !strings.Contains(out, "0 changed") || f.read("amd64.nu") != lock {
		t.Error("nothing newer:", out, err)
	}
	f.date = f.date.Add(time.Second)
	f.put(apttest.Stanza("aa", "2") + apttest.Stanza("cc", "1"))
	var exit exitError
	if out, err := f.lock(f.set, "--check"); !asExit(err, &exit) || exit != 8 || !strings.HasSuffix(out, "~ aa 1 -> 2\n- bb 1\n") || f.read("amd64.nu") != lock {
		t.Error("newer:", out, err)
	}
	out, err = f.lock(filepath.Join(f.set, "base/debian/amd64.nu"), "--json")
	if err != nil || !strings.Contains(out, `"changes"`) || f.read("amd64.nu") == lock {
		t.Error("a file:", out, err)
	}
	if err := os.Remove(filepath.Join(f.set, "base/debian/lock.nuon")); err != nil {
		t.Fatal(err)
	}
	lock = f.read("amd64.nu")
	if out, err := f.lock(f.set, "--offline"); err != nil || f.read("amd64.nu") != lock {
		t.Error("without a request, offline:", out, err)
	}
}

func asExit(err error, to *exitError) bool {
	return errors.As(err, to)
}

// TestHostileLockCommand has lock files, requests and archives that nuka lock must refuse. It may write nothing then.
func TestHostileLockCommand(t *testing.T) {
	for name, c := range map[string]struct {
		change func(f *lockFixture)
		want   protocol.Code
	}{
		"an edited lock file": {func(f *lockFixture) {
			f.write(f.set, "base/debian/amd64.nu", strings.Replace(f.read("amd64.nu"), "bb 1 ", "bb 9 ", 1))
		}, protocol.Damaged},
		"a wrong signature": {func(f *lockFixture) { f.key = apttest.NewKey(f.t, f.date.Add(-time.Hour), 0); f.newer() }, protocol.Denied},
		"a downgraded index": {func(f *lockFixture) {
			f.date = f.date.Add(-time.Hour)
			f.newer()
		}, protocol.Differs},
		"a downgraded index, on a machine that saw none": {func(f *lockFixture) {
			f.date = f.date.Add(-time.Hour)
			f.newer()
			f.home = protocol.Home{Data: f.t.TempDir(), Cache: f.t.TempDir()}
		}, protocol.Differs},
		"packages that were not signed": {func(f *lockFixture) {
			f.newer()
			f.Set("dists/trixie/main/binary-amd64/Packages.xz", apttest.Gzip(apttest.Stanza("aa", "9")))
		}, protocol.Mismatch},
		"a path out of the pool": {func(f *lockFixture) {
			f.date = f.date.Add(time.Second)
			f.put(strings.ReplaceAll(apttest.Stanza("aa", "2"), "pool/", "pool/../../"))
		}, protocol.Invalid},
		"a root that does not exist": {func(f *lockFixture) { f.date = f.date.Add(time.Second); f.put(apttest.Stanza("aa", "2")) }, protocol.NotFound},
		"a wrong request":            {func(f *lockFixture) { f.write(f.set, "base/debian/lock.nuon", "{suites: 1}") }, protocol.Invalid},
		"a suite that is a path": {func(f *lockFixture) {
			f.write(f.set, "base/debian/lock.nuon", strings.Replace(lockRequest, "trixie", "../trixie", 1))
		}, protocol.Invalid},
		"a file of another name": {func(f *lockFixture) {
			f.write(f.set, "base/debian/other.nu", f.read("amd64.nu"))
		}, protocol.Invalid},
	} {
		f := newLockFixture(t)
		if out, err := f.lock(f.set); err != nil {
			t.Fatal(out, err)
		}
		c.change(f)
		before := f.read("amd64.nu") + f.read("soname-amd64.gz")
		out, err := f.lock(f.set)
		if got := protocol.CodeOf(err); err == nil || got != c.want {
			t.Errorf("%s: got %s%v (%s), want the code %s", name, out, err, got, c.want)
		}
		if f.read("amd64.nu")+f.read("soname-amd64.gz") != before {
			t.Errorf("%s: a file was written", name)
		}
	}
	f := newLockFixture(t)
	for _, at := range []string{t.TempDir(), filepath.Join(f.set, "none")} {
		_, err := f.lock(at)
		if protocol.CodeOf(err) != protocol.NotFound || protocol.AsError(err).Hint == "" {
			t.Errorf("%s: got %v", at, err)
		}
	}
	_, err := f.lock(f.set, "--offline")
	if protocol.CodeOf(err) != protocol.Offline {
		t.Errorf("offline: got %v", err)
	}
}

// newer signs the archive's suite anew, with the packages that it has and with a newer one.
func (f *lockFixture) newer() {
	f.put(apttest.Stanza("aa", "2", "Depends: bb") + apttest.Stanza("bb", "1") + apttest.Stanza("cc", "1"))
}

// TestShippedLocks reads the lock files of the set in nuka, and looks up libraries that programs often need.
func TestShippedLocks(t *testing.T) {
	text, err := packages.FS.ReadFile("base/debian/lock.nuon")
	if err != nil {
		t.Fatal(err)
	}
	r, err := apt.ParseRequest(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range r.Archs {
		text, err := packages.FS.ReadFile("base/debian/" + arch + ".nu")
		if err != nil {
			t.Fatal(err)
		}
		l, err := apt.DecodeLock(text)
		if err != nil {
			t.Fatal(err)
		}
		for group, names := range r.Roots {
			if pins, err := l.Closure(names); err != nil || len(pins) < len(names) {
				t.Errorf("%s %s: %d packages, %v", arch, group, len(pins), err)
			}
		}
		packed, err := packages.FS.ReadFile("base/debian/soname-" + arch + ".gz")
		if err != nil {
			t.Fatal(err)
		}
		s, err := apt.DecodeSonames(packed)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"libc.so.6": "libc6", "libssl.so.3": "libssl3t64", "libxml2.so.2": "libxml2", "libcurl.so.4": "libcurl4t64", "libnss3.so": "libnss3", "libstdc++.so.6": "libstdc++6",
			"libblas.so.3": "libopenblas0-pthread", "liblapack.so.3": "libopenblas0-pthread", "libopenblas.so.0": "libopenblas0-pthread", "libGL.so.1": "libgl1", "libtorch.so.2.6": "libtorch2.6",
			"libcuda.so.1": "", "libc.so": "",
		} {
			got, _ := s.Owner(name)
			if want == "" && len(got) > 0 || want != "" && (len(got) == 0 || got[0] != want) {
				t.Errorf("%s %s: got %v, want %s", arch, name, got, want)
			}
		}
	}
}
