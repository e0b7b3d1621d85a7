package wasmrt_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/MordragT/nuka/wasmrt"
	"go.uber.org/goleak"
)

// TestDeadlocks checks that processes which wait for one another are found, and that the error names them.
func TestDeadlocks(t *testing.T) {
	_, h := newKernelHost(t, wasmrt.Limits{Running: 2})
	for _, c := range []struct{ args, want string }{
		{"selfread", "posix (pid 2) reads from a pipe, whose other end posix (pid 2) has open"},
		{"selfwrite", "posix (pid 2) writes to a pipe, whose other end posix (pid 2) has open"},
		{"crossread", "posix (pid 2) reads from a pipe, whose other end posix (pid 2), posix (pid 1581493) have open; " +
			"posix (pid 1581493) reads from a pipe, whose other end posix (pid 2), posix (pid 1581493) have open"},
		{"waitread", "posix (pid 2) waits for its children; posix (pid 1581493) reads from a pipe, whose other end posix (pid 2), posix (pid 1581493) have open"},
		{"pollforever", "posix (pid 2) polls a pipe, whose other end posix (pid 2) has open"},
		{"forever", "posix (pid 2) waits for a signal"},
	} {
		out, exit, err := command(h, "posix", c.args)
		var dead *wasmrt.DeadlockError
		if !errors.As(err, &dead) || exit != wasmrt.ExitTrap || strings.Join(dead.Waits, "; ") != c.want {
			t.Errorf("%s: got %d, %q, %v, want %q", c.args, exit, out, err, c.want)
		}
	}
}

func TestHostileProcesses(t *testing.T) {
	b, h := newKernelHost(t, wasmrt.Limits{Running: 1})
	code, err := os.ReadFile(posixWasm)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.host("prog"), code, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"polltime", "0\nearly\n1\nlate\n"},
		{"leak", "read 0\n\n"},
		{"strangers", "71 71 71 71 71 71 71 28 0\n"},
		{"replace", "exec -45\nstill here\nstatus 0\n"},
		{"trapmiddle", "nuka: posix (pid 1581493): longjmp to a place that setjmp has not noted\nstatus 6\ngrandchild goes on\n"},
		{"interrupt", "wrote 65536 0 signal 10\nread 65536\n"},
		{"killed", "15 9\n"},
		{"nukaexec", "a\nexit 0\n"},
	} {
		out, _, err := command(h, "posix", c.args)
		if out != c.want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", c.args, out, err, c.want)
		}
	}
}

// TestOutputOfProcesses checks that the output of a child counts.
func TestOutputOfProcesses(t *testing.T) {
	_, h := newKernelHost(t, wasmrt.Limits{Output: 1 << 20})
	out, exit, err := command(h, "posix", "flood")
	var limit *wasmrt.LimitError
	if !errors.As(err, &limit) || limit.What != "more than 1048576 bytes of output" || exit != wasmrt.ExitTrap || len(out) > 1<<20 {
		t.Errorf("got %d bytes, %d, %v", len(out), exit, err)
	}
}

// TestCancelProcesses ends a command whose processes run and wait, and checks that nothing is left of them.
func TestCancelProcesses(t *testing.T) {
	_, h := newKernelHost(t, wasmrt.Limits{})
	for _, c := range []struct {
		running int
		real    bool
	}{{2, false}, {2, true}, {0, false}, {0, true}} {
		h := &wasmrt.Host{Runtime: h.Runtime, FS: h.FS, Path: h.Path, Limits: wasmrt.Limits{Running: c.running, TotalMemory: 4 << 30}, Real: c.real}
		before := goleak.IgnoreCurrent()
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		r, w := io.Pipe()
		go func() {
			_, _ = r.Read(make([]byte, 10))
			cancel(cause)
		}()
		exit, err := h.Exec(ctx, &wasmrt.Command{Args: []string{"posix", "crowd"}, Dir: "/nuka/build", Stdout: w})
		if exit != wasmrt.ExitTrap || !errors.Is(err, cause) {
			t.Errorf("got %d, %v, want %v", exit, err, cause)
		}
		goleak.VerifyNone(t, before)
	}
}

// TestWorkIsReproducible runs a small build with one and two slots.
func TestWorkIsReproducible(t *testing.T) {
	var want string
	for _, running := range []int{1, 2, 1, 2} {
		b, h := newKernelHost(t, wasmrt.Limits{Running: running})
		if out, exit, err := command(h, "posix", "work"); out != "" || exit != 0 || err != nil {
			t.Fatalf("got %q, %d, %v", out, exit, err)
		}
		var got strings.Builder
		for i := range 12 {
			content, err := os.ReadFile(b.host(fmt.Sprintf("f%d", i)))
			if err != nil {
				t.Fatal(err)
			}
			got.Write(content)
		}
		if want == "" {
			want = got.String()
		}
		if got.String() != want {
			t.Errorf("with %d slots: got %q, want %q", running, got.String(), want)
		}
	}
}

// TestProcessHammer runs many commands with processes at once, on the same file system and slots.
func TestProcessHammer(t *testing.T) {
	_, h := newKernelHost(t, wasmrt.Limits{Running: 2})
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			for _, c := range []struct{ args, want string }{
				{"posix pipeline posix echo a | posix cat | posix cat", "a\n"},
				{"posix nest", "grandchild\nchild\nparent\n"},
				{"posix killed", "15 9\n"},
			} {
				out, _, err := command(h, strings.Fields(c.args)...)
				if out != c.want || err != nil {
					t.Errorf("%d: %s: got %q, %v, want %q", i, c.args, out, err, c.want)
				}
			}
		})
	}
	wg.Wait()
}

// TestReadFromOutside checks that processes go on while another one of their image waits for a file of the host.
func TestReadFromOutside(t *testing.T) {
	_, h := newKernelHost(t, wasmrt.Limits{Running: 1})
	h = &wasmrt.Host{Runtime: h.Runtime, FS: h.FS, Path: h.Path, Limits: h.Limits, Real: true}
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer inR.Close()
	outR, outW := io.Pipe()
	go func() {
		line := make([]byte, 100)
		n, _ := outR.Read(line)
		fmt.Fprint(inW, "after ", string(line[:n]))
		inW.Close()
		_, _ = io.Copy(io.Discard, outR)
	}()
	var out strings.Builder
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	exit, err := h.Exec(ctx, &wasmrt.Command{Args: []string{"posix", "stdin"}, Dir: "/nuka/build", Stdin: inR, Stdout: io.MultiWriter(outW, &out)})
	outW.Close()
	if want := "the child goes on\ngot after the child goes on\n\n"; out.String() != want || exit != 0 || err != nil {
		t.Errorf("got %q, %d, %v, want %q", out.String(), exit, err, want)
	}
}
