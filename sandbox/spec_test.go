package sandbox_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/sandbox"
)

func sample() *sandbox.Spec {
	n := 7
	return &sandbox.Spec{
		Mounts: []sandbox.Mount{
			{Kind: sandbox.RO, Source: "/usr", Target: "/usr"}, {Kind: sandbox.Overlay, Lower: []string{"/a", "/b:c"}, Upper: "/u", Work: "/w", Target: "/o"},
			{Kind: sandbox.File, Target: "/f", Content: []byte{0, 1, 255}, Mode: 0o400}, {Kind: sandbox.Tmpfs, Target: "/tmp", Size: 1 << 20, Mode: 0o1777},
			{Kind: sandbox.Symlink, Source: "../x", Target: "/l"}, {Kind: sandbox.Proc, Target: "/proc"}, {Kind: sandbox.Dev, Target: "/dev"}, {Kind: sandbox.Dir, Target: "/d"},
		},
		Argv: []string{"p", ""}, Env: []string{"A=", "B=\n"}, Dir: "/d", Host: "h", UID: &n, GID: &n, Net: sandbox.NetHost, Session: sandbox.SessionNew,
		Limits: sandbox.Limits{Memory: 1, Processes: 2, CPUs: 0.5}, Clock: &sandbox.Clock{Monotonic: -1}, Umask: &n, Extra: 3, Outlive: true, Fallback: true,
	}
}

func TestSpecRoundTrip(t *testing.T) {
	b, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := sandbox.DecodeSpec(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sample(), got); d != "" {
		t.Error(d)
	}
}

// TestSpecRefused checks that wrong Specs are refused, by the caller and by the launcher.
func TestSpecRefused(t *testing.T) {
	big := 1 << 33
	for name, change := range map[string]func(*sandbox.Spec){
		"kind":              func(s *sandbox.Spec) { s.Mounts[0].Kind = "bind" },
		"relative target":   func(s *sandbox.Spec) { s.Mounts[0].Target = "usr" },
		"target with ..":    func(s *sandbox.Spec) { s.Mounts[0].Target = "/a/../b" },
		"target with zero":  func(s *sandbox.Spec) { s.Mounts[0].Target = "/a\x00b" },
		"second root":       func(s *sandbox.Spec) { s.Mounts[1].Target = "/" },
		"temporary root":    func(s *sandbox.Spec) { s.Mounts[0] = sandbox.Mount{Kind: sandbox.Tmpfs, Target: "/"} },
		"no source":         func(s *sandbox.Spec) { s.Mounts[0].Source = "" },
		"relative source":   func(s *sandbox.Spec) { s.Mounts[0].Source = "usr" },
		"source of proc":    func(s *sandbox.Spec) { s.Mounts[5].Source = "/proc" },
		"no lower":          func(s *sandbox.Spec) { s.Mounts[1].Lower = nil },
		"relative lower":    func(s *sandbox.Spec) { s.Mounts[1].Lower[1] = "b" },
		"upper alone":       func(s *sandbox.Spec) { s.Mounts[1].Work = "" },
		"content of a bind": func(s *sandbox.Spec) { s.Mounts[0].Content = []byte("x") },
		"mode of a bind":    func(s *sandbox.Spec) { s.Mounts[0].Mode = 0o755 },
		"set-user-ID":       func(s *sandbox.Spec) { s.Mounts[2].Mode = 0o4755 },
		"negative size":     func(s *sandbox.Spec) { s.Mounts[3].Size = -1 },
		"network":           func(s *sandbox.Spec) { s.Net = "all" },
		"session":           func(s *sandbox.Spec) { s.Session = "old" },
		"variable":          func(s *sandbox.Spec) { s.Env[0] = "A" },
		"nameless variable": func(s *sandbox.Spec) { s.Env[0] = "=A" },
		"zero in argument":  func(s *sandbox.Spec) { s.Argv[1] = "\x00" },
		"no program":        func(s *sandbox.Spec) { s.Argv[0] = "" },
		"relative folder":   func(s *sandbox.Spec) { s.Dir = "d" },
		"user":              func(s *sandbox.Spec) { s.UID = &big },
		"umask":             func(s *sandbox.Spec) { s.Umask = &big },
		"memory":            func(s *sandbox.Spec) { s.Limits.Memory = -1 },
		"no number":         func(s *sandbox.Spec) { s.Limits.CPUs = math.NaN() },
		"host name":         func(s *sandbox.Spec) { s.Host = strings.Repeat("h", 65) },
		"descriptors":       func(s *sandbox.Spec) { s.Extra = 1000 },
	} {
		s := sample()
		change(s)
		if _, err := s.Encode(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	good, _ := sample().Encode()
	for name, b := range map[string][]byte{
		"unknown field":         bytes.Replace(good, []byte(`"mounts"`), []byte(`"mount"`), 1),
		"unknown field of one":  bytes.Replace(good, []byte(`"kind"`), []byte(`"flags":1,"kind"`), 1),
		"something after":       append(bytes.Clone(good), '1'),
		"another spec":          append(bytes.Clone(good), good...),
		"cut":                   good[:len(good)-1],
		"empty":                 nil,
		"a list":                []byte("[]"),
		"a wrong value decoded": []byte(`{"net":"all"}`),
	} {
		if _, err := sandbox.DecodeSpec(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzDecodeSpec checks that what is accepted is valid and has one encoding.
func FuzzDecodeSpec(f *testing.F) {
	good, _ := sample().Encode()
	f.Add(good)
	f.Add([]byte(`{"mounts":[{"kind":"ro","source":"/","target":"/x"}],"argv":["a"]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := sandbox.DecodeSpec(b)
		if err != nil {
			return
		}
		again, err := s.Encode()
		if err != nil {
			t.Fatalf("accepted, and not encoded: %v", err)
		}
		s2, err := sandbox.DecodeSpec(again)
		if err != nil {
			t.Fatal(err)
		}
		third, err := s2.Encode()
		if err != nil || !bytes.Equal(again, third) {
			t.Errorf("got %s, then %s, %v", again, third, err)
		}
	})
}

// FuzzReadReport checks that the caller reads nothing but reports that say one thing.
func FuzzReadReport(f *testing.F) {
	still := true
	for _, r := range []*sandbox.Report{{Started: &sandbox.Started{Missing: []string{"x"}}}, {Ended: &sandbox.Ended{Code: 137, Signal: 9}}, {Stopped: 19}, {Still: &still},
		{Failed: &sandbox.SetupError{Step: "bind", Object: "/x", Errno: 2}}} {
		var b bytes.Buffer
		if err := sandbox.WriteReport(&b, r); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bytes.NewReader(b)
		for {
			r, err := sandbox.ReadReport(in)
			if err != nil {
				return
			}
			var out bytes.Buffer
			if err := sandbox.WriteReport(&out, r); err != nil {
				t.Fatal(err)
			}
			again, err := sandbox.ReadReport(&out)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(r.Ended, again.Ended); d != "" || (r.Failed == nil) != (again.Failed == nil) {
				t.Error(d)
			}
		}
	})
}

func TestReadReportRefused(t *testing.T) {
	for _, text := range []string{"{}", `{"stopped":1,"ended":{"code":0}}`, `{"begun":1}`, `{"stopped":1}{}`, ""} {
		b := append([]byte{0, 0, 0, byte(len(text))}, text...)
		if r, err := sandbox.ReadReport(bytes.NewReader(b)); err == nil {
			t.Errorf("%s: got %+v", text, r)
		}
	}
	if _, err := sandbox.ReadReport(bytes.NewReader([]byte{255, 0, 0, 0})); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a report of 4 GiB: got %v", err)
	}
}

// TestFindLauncher checks that the launcher beside the own program comes before one in PATH.
func TestFindLauncher(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("programs have other names there")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	beside := filepath.Join(filepath.Dir(exe), sandbox.LauncherName)
	if _, err := os.Stat(beside); err == nil { // the second run, in the folder of the launcher
		if p, err := sandbox.FindLauncher(); err != nil || p != beside {
			t.Errorf("got %q, %v, want %q", p, err, beside)
		}
		return
	}
	if p, err := sandbox.FindLauncher(); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("got %q, %v", p, err)
	}
	inPath := filepath.Join(dir, sandbox.LauncherName)
	if err := os.WriteFile(inPath, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if p, err := sandbox.FindLauncher(); err != nil || p != inPath {
		t.Errorf("got %q, %v, want %q", p, err, inPath)
	}
}
