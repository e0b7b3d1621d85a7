package wasmrt

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fuzzData is the memory of a fuzzed program: paths, lists and vectors that some of the arguments point to.
const fuzzData = "........" +
	"/p/bin/it\x00......" + // 8
	"it\x00x\x00..." + // 24
	"d/../f\x00." + // 32
	"../../secret.txt........" + // 40
	"\x08\x00\x00\x00\x09\x00\x00\x00\x20\x00\x00\x00\x06\x00\x00\x00" + // 64: two vectors
	"\x03\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x00\x04\x00\x00\x00" + // 80: polled descriptors, or pairs for spawn
	"................" + "dev/fd/3" + "dev/stdout" // 112 and 120; results may be written over what is before them

// fuzzCalls are the calls in the order of their names, so that a corpus stays what it is.
var fuzzCalls = slices.Sorted(maps.Keys(imported))

// fuzzNumbers are arguments that mean something to some call.
var fuzzNumbers = []int64{0, 1, 2, 3, 4, 5, 8, 9, 10, 16, 17, 24, 32, 40, 64, 80, 100, 4095, 4096, 65528, 65535, 65536, 1 << 20, fdRoot, fdCwd, 1 << 31, -1, -8, 1581493, 1 << 62, 112, 120}

// maxFuzzCalls is how many calls a fuzzed process makes: it may jump back for ever. It counts them where few of its calls write.
const (
	maxFuzzCalls = 300
	counter      = 50_000
)

// fuzzProgram makes a program of bytes: a call, and its arguments. The result of the last call can be an argument too.
func fuzzProgram(b []byte) []byte {
	a := &asm{}
	next := func() (n int) {
		if len(b) > 0 {
			n, b = int(b[0]), b[1:]
		}
		return n
	}
	for calls := 0; len(b) > 0 && calls < 60; calls++ {
		name := fuzzCalls[next()%len(fuzzCalls)]
		if name == "host" { // no program has an answer for it
			continue
		}
		a.i32(counter).i32(counter).op(0x28, 2, 0).i32(1).op(0x6a, 0x36, 2, 0)
		a.i32(counter).op(0x28, 2, 0).i32(maxFuzzCalls).op(0x4b).when(func() { a.i32(1).exit() })
		for _, kind := range imported[name][1] {
			n := next()
			switch {
			case n == 255 && kind == 'i':
				a.get(0)
			case kind == 'i':
				a.i32(int32(fuzzNumbers[n%len(fuzzNumbers)]))
			default:
				a.i64(fuzzNumbers[n%len(fuzzNumbers)])
			}
		}
		a.call(name)
		switch imported[name][2] {
		case "i":
			a.set(0)
		case "I":
			a.drop()
		}
	}
	a.i32(0).exit()
	return a.module(fuzzData)
}

// FuzzKernel calls the host with arbitrary arguments, from processes that fork and execute themselves. Whatever they are, the host does not panic,
// reaches nothing outside of the program's memory and file system, and ends with nothing left.
func FuzzKernel(f *testing.F) {
	number := func(n int64) byte { return byte(slices.Index(fuzzNumbers, n)) }
	call := func(name string, args ...int64) []byte {
		out := []byte{byte(slices.Index(fuzzCalls, name))}
		for _, n := range args {
			out = append(out, number(n))
		}
		return out
	}
	for _, calls := range [][][]byte{
		{call("fork"), call("wait", -1, 0, 100), call("kill", 1581493, 9)},
		{call("pipe", 100), call("fork"), call("fd_write", 4, 64, 2, 100), call("fd_read", 3, 64, 2, 100), call("wait", -1, 1, 100)},
		{call("setjmp", 0), call("fork"), call("longjmp", 0, 5)},
		{call("spawn", 8, 9, 24, 5, 0, 0, 80, 2, 32, 1), call("exec2", 8, 9, 24, 5, 0, 0)},
		{call("exec", 24, 5, 0, 0, 0, 0, 0, 100), call("signals", 1, -1), call("sigsuspend", 0)},
		{call("pipe", 100), call("poll", 80, 2, 100), call("dup", 3, 9, 1), call("dup2", 4, 4095, 0), call("fd_renumber", fdRoot, 1), call("fd_close", fdCwd)},
		{call("path_open", fdCwd, 1, 32, 5, 1, -1, -1, 0, 100), call("path_open", fdRoot, 1, 40, 16, 1, -1, -1, 0, 100), call("chmod", fdCwd, 32, 5, 64, 1)},
		{call("path_open", fdRoot, 1, 112, 8, 0, -1, -1, 0, 100), call("path_open", fdRoot, 1, 120, 10, 9, -1, -1, 0, 100), call("fd_close", 3), call("fd_write", 4, 64, 2, 100)},
		{call("chdir", 32, 1), call("getcwd", 100, 4096), call("fchdir", fdRoot), call("fchmod", fdRoot, 1)},
	} {
		f.Add(slices.Concat(calls...))
	}
	ctx := context.Background()
	rt, err := New(ctx, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { rt.Close(ctx) })
	f.Fuzz(func(t *testing.T, b []byte) {
		fuzzKernel(t, rt, fuzzProgram(b))
	})
}

// unseen is in a file beside the program's folder. The program has the name of the file in its memory.
const unseen = "what no program sees"

func fuzzKernel(t *testing.T, rt *Runtime, code []byte) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret.txt"), []byte(unseen), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(outside, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	dir, err := OpenDir(filepath.Join(outside, "d"), &DirOptions{MaxFiles: 100, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	// The program is a file that it may write to, so that its module is freed.
	if err := dir.WriteFile("it", code, true); err != nil {
		t.Fatal(err)
	}
	h := &Host{Runtime: rt, Path: []string{"/p/bin"}, Limits: Limits{Total: 200, Processes: 8, TotalMemory: 64 << 20, Output: 1 << 20, Running: 2}}
	if h.FS, err = NewFS(Mount{Path: "/p/bin", Dir: dir}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out strings.Builder
	_, err = h.Exec(ctx, &Command{Args: []string{"it"}, Dir: "/p/bin", Env: []string{}, Stdout: &out, Stderr: &out})
	said := out.String()
	if err != nil {
		said += err.Error()
	}
	for _, bad := range []string{"runtime error", "BUG", "recovered by wazero", "unhandled snapshot", errLayout.Error(), unseen, "deadline"} {
		if strings.Contains(said, bad) {
			t.Errorf("the host said %q: %.600s", bad, said)
		}
	}
	if n := h.live.Load(); n != 0 {
		t.Errorf("%d processes are left", n)
	}
	if n := h.budget.used.Load(); n != 0 {
		t.Errorf("%d bytes of memory are still counted", n)
	}
	if n := len(h.slots); n != 0 {
		t.Errorf("%d slots are still taken", n)
	}
	if n := len(dir.refs); n != 0 {
		t.Errorf("%d directories are still open", n)
	}
	dir.nodes.mu.Lock()
	if n := len(dir.nodes.open); n != 0 {
		t.Errorf("%d files are still open", n)
	}
	dir.nodes.mu.Unlock()
	secret, err := os.ReadFile(filepath.Join(outside, "secret.txt"))
	list, _ := os.ReadDir(outside)
	if string(secret) != unseen || err != nil || len(list) != 2 {
		t.Errorf("outside of the directory: %q, %v, %v", secret, err, list)
	}
}
