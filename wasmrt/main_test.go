package wasmrt_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/MordragT/nuka/wasmrt"
)

// guestWasm, reactorWasm, suiteWasm, posixWasm and memoWasm are the programs of testdata/guest, testdata/reactor, testdata/suite, testdata/posix and testdata/memo.
// runtimeDir is the machine code cache that all tests share.
var guestWasm, reactorWasm, suiteWasm, posixWasm, memoWasm, runtimeDir string

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == workerArg {
		workerMain()
		return
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "wasmrt")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		guestWasm, runtimeDir = filepath.Join(dir, "guest.wasm"), filepath.Join(dir, "cache")
		reactorWasm = filepath.Join(dir, "reactor.wasm")
		suiteWasm = filepath.Join(dir, "suite.wasm")
		posixWasm, memoWasm = filepath.Join(dir, "posix.wasm"), filepath.Join(dir, "memo.wasm")
		for _, args := range [][]string{
			{"-o", suiteWasm, "./testdata/suite"},
			{"-o", posixWasm, "./testdata/posix"},
			{"-o", memoWasm, "./testdata/memo"},
			{"-o", guestWasm, "./testdata/guest"},
			{"-buildmode=c-shared", "-o", reactorWasm, "./testdata/reactor"},
		} {
			cmd := exec.Command("go", append([]string{"build", "-trimpath", "-ldflags=-s -w"}, args...)...)
			cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
			if out, err := cmd.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "build the guests: %v\n%s", err, out)
				return 1
			}
		}
		return m.Run()
	}())
}

// box is a scratch inside a directory with a secret, and a runtime.
type box struct {
	t       testing.TB
	rt      *wasmrt.Runtime
	guest   *wasmrt.Module
	outside string // host directory that contains the scratch and secret.txt
	dir     *wasmrt.Dir
	fs      *wasmrt.FS
}

const secret = "canary of the host"

func newBox(t testing.TB, o *wasmrt.DirOptions, more ...wasmrt.Mount) *box {
	t.Helper()
	ctx := context.Background()
	rt, err := wasmrt.New(ctx, &wasmrt.Options{CacheDir: runtimeDir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rt.Close(ctx) })
	guest, err := rt.LoadFile(ctx, guestWasm)
	if err != nil {
		t.Fatal(err)
	}
	return boxOf(t, rt, guest, o, more...)
}

// boxOf returns a box with an existing runtime and a guest that this runtime has loaded.
func boxOf(t testing.TB, rt *wasmrt.Runtime, guest *wasmrt.Module, o *wasmrt.DirOptions, more ...wasmrt.Mount) *box {
	t.Helper()
	b := &box{t: t, rt: rt, guest: guest, outside: t.TempDir()}
	if err := os.WriteFile(filepath.Join(b.outside, "secret.txt"), []byte(secret), 0o644); err != nil {
		t.Fatal(err)
	}
	scratch := filepath.Join(b.outside, "scratch")
	if err := os.Mkdir(scratch, 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if b.dir, err = wasmrt.OpenDir(scratch, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.dir.Close() })
	if b.fs, err = wasmrt.NewFS(append([]wasmrt.Mount{{Path: "/nuka/build", Dir: b.dir}}, more...)...); err != nil {
		t.Fatal(err)
	}
	return b
}

// host returns the host path of a file of the scratch.
func (b *box) host(name string) string { return filepath.Join(b.outside, "scratch", name) }

// run runs guest commands, one per argument, and returns their output.
func (b *box) run(lines ...string) string {
	b.t.Helper()
	out, exit, err := b.try(nil, lines...)
	if err != nil || exit != 0 {
		b.t.Fatalf("run %q: exit %d, %v\n%s", lines, exit, err, out)
	}
	return out
}

func (b *box) try(change func(*wasmrt.Program), lines ...string) (string, int, error) {
	var out bytes.Buffer
	p := &wasmrt.Program{Module: b.guest, Args: []string{"guest"}, FS: b.fs, Dir: "/nuka/build", Stdout: &out, Stderr: &out}
	for i, l := range lines {
		if i > 0 {
			p.Args = append(p.Args, "--")
		}
		p.Args = append(p.Args, strings.Fields(l)...)
	}
	if change != nil {
		change(p)
	}
	exit, err := b.rt.Run(context.Background(), p)
	return out.String(), exit, err
}

// unharmed checks that nothing outside of the scratch changed.
func (b *box) unharmed() {
	b.t.Helper()
	got, err := os.ReadFile(filepath.Join(b.outside, "secret.txt"))
	if err != nil || string(got) != secret {
		b.t.Errorf("canary: got %q, %v", got, err)
	}
	list, err := os.ReadDir(b.outside)
	if err != nil || len(list) != 2 {
		b.t.Errorf("outside of the scratch: got %v, %v, want scratch and secret.txt", list, err)
	}
}
