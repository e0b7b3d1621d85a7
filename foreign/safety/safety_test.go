package safety

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/MordragT/nuka/pir/nuon"
)

func TestParseClaim(t *testing.T) {
	good := nuon.Record{"language": "go", "linking": "static", "build": "CGO_ENABLED=0"}
	if c, err := ParseClaim(good); err != nil || c != (Claim{Go, Static, "CGO_ENABLED=0"}) {
		t.Errorf("got %+v, %v", c, err)
	}
	for _, v := range []any{nil, false} {
		if _, err := ParseClaim(v); err != ErrNoClaim {
			t.Errorf("%v: got %v", v, err)
		}
	}
	for _, v := range []any{
		true, "go", nuon.Record{}, nuon.Record{"language": "c", "linking": "static", "build": "x"}, nuon.Record{"language": "go", "linking": "dynamic", "build": "x"},
		nuon.Record{"language": "go", "linking": "static"}, nuon.Record{"language": "go", "linking": "static", "build": "x", "more": true},
	} {
		if c, err := ParseClaim(v); err == nil || err == ErrNoClaim {
			t.Errorf("%v: got %+v, %v", v, c, err)
		}
	}
}

func check(t *testing.T, name string, c Claim) error {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return c.Check(f, info.Size())
}

// TestCheck compares real programs with claims: one of Go built in the test, and those of this machine's C library.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\nfunc main() { println(1) }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program")
	build := exec.Command("go", "build", "-o", program, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := check(t, program, Claim{Go, Static, "x"}); err != nil {
		t.Error(err)
	}
	b, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	cgo := bytes.ReplaceAll(b, []byte("CGO_ENABLED=0"), []byte("CGO_ENABLED=1"))
	if err := (Claim{Go, Static, "x"}).Check(bytes.NewReader(cgo), int64(len(cgo))); err == nil || !strings.Contains(err.Error(), "cgo") {
		t.Errorf("built with cgo: got %v", err)
	}
	for _, n := range []int{0, 3, 64, len(b) / 2} { // half a file
		_ = (Claim{Go, Static, "x"}).Check(bytes.NewReader(b[:n]), int64(n))
		_ = (Claim{Rust, Libc, "x"}).Check(bytes.NewReader(b[:n]), int64(n))
	}
	const c = "/usr/bin/env"
	if _, err := os.Stat(c); err != nil {
		t.Skip("no program of C here")
	}
	for claim, want := range map[Claim]string{{Go, Static, "x"}: "", {Go, Libc, "x"}: "build information"} {
		if err := check(t, c, claim); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s as %+v: got %v", c, claim, err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte("\x7fELF"), true)
	f.Fuzz(func(_ *testing.T, b []byte, rust bool) {
		c := Claim{Go, Libc, "x"}
		if rust {
			c.Language = Rust
		}
		_ = c.Check(bytes.NewReader(b), int64(len(b)))
	})
}
