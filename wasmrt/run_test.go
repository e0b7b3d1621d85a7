package wasmrt_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/wasmrt"
)

// program makes a module with at least one page of memory and a _start with the given instructions; call 0 is proc_exit.
func program(pages byte, body ...byte) []byte {
	sect := func(id byte, b ...byte) []byte { return append([]byte{id, byte(len(b))}, b...) }
	code := append([]byte{0}, body...)
	code = append(code, 0x0b)
	imp := append([]byte{1, 22}, "wasi_snapshot_preview1"...)
	imp = append(imp, 9)
	imp = append(imp, "proc_exit"...)
	imp = append(imp, 0, 0)
	exp := append([]byte{2, 6}, "memory"...)
	exp = append(exp, 2, 0, 6)
	exp = append(exp, "_start"...)
	exp = append(exp, 0, 1)
	return bytes.Join([][]byte{
		[]byte("\x00asm\x01\x00\x00\x00"),
		sect(1, 2, 0x60, 1, 0x7f, 0, 0x60, 0, 0),
		sect(2, imp...), sect(3, 1, 1), sect(5, 1, 0, pages), sect(7, exp...),
		sect(10, append([]byte{1, byte(len(code))}, code...)...),
	}, nil)
}

// growLoop asks for 16 MiB more until that fails, and exits with the number of successes.
var growLoop = []byte{0x03, 0x40, 0x41, 0x80, 0x02, 0x40, 0x00, 0x41, 0x7f, 0x47, 0x0d, 0x00, 0x0b, 0x3f, 0x00, 0x41, 0x80, 0x02, 0x6e, 0x10, 0x00}

func run(t *testing.T, code []byte, change func(*wasmrt.Program)) (int, error) {
	t.Helper()
	ctx := context.Background()
	rt, err := wasmrt.New(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close(ctx)
	m, err := rt.Load(ctx, code)
	if err != nil {
		t.Fatal(err)
	}
	p := &wasmrt.Program{Module: m, Args: []string{"/bin/tiny"}}
	if change != nil {
		change(p)
	}
	return rt.Run(ctx, p)
}

func TestMemoryGrowHitsTheLimit(t *testing.T) {
	for _, c := range []struct {
		limit int64
		want  int
	}{{64 << 20, 3}, {256 << 20, 15}, {0, 255}} {
		got, err := run(t, program(1, growLoop...), func(p *wasmrt.Program) { p.MemoryLimit = c.limit })
		if err != nil || got != c.want {
			t.Errorf("limit %d: got %d times 16 MiB, %v, want %d", c.limit, got, err, c.want)
		}
	}
	_, err := run(t, program(100, growLoop...), func(p *wasmrt.Program) { p.MemoryLimit = 1 << 20 })
	if want := `program "tiny": out of memory: it starts with 6 MiB, the limit is 1 MiB`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestTraps(t *testing.T) {
	for _, c := range []struct {
		name string
		body []byte
		want string
	}{
		{"unreachable", []byte{0x00}, "aborted (unreachable code)"},
		{"division", []byte{0x41, 1, 0x41, 0, 0x6d, 0x1a}, "integer divide by zero"},
		{"bounds", []byte{0x41, 0x7f, 0x28, 2, 0, 0x1a}, "out of bounds memory access"},
		{"recursion", []byte{0x10, 1}, "stack overflow: functions call each other too deep"},
		{"memory", append(growLoop[:13:13], 0x00), "out of memory (limit 32 MiB)"},
	} {
		exit, err := run(t, program(1, c.body...), func(p *wasmrt.Program) { p.MemoryLimit = 32 << 20 })
		if want := `program "tiny": ` + c.want; err == nil || err.Error() != want || exit != wasmrt.ExitTrap {
			t.Errorf("%s: got %d, %v, want %s", c.name, exit, err, want)
		}
	}
	if exit, err := run(t, program(1), nil); exit != 0 || err != nil {
		t.Errorf("empty program: got %d, %v", exit, err)
	}
	if exit, err := run(t, program(1, 0x41, 42, 0x10, 0, 0x00), nil); exit != 42 || err != nil {
		t.Errorf("exit: got %d, %v", exit, err)
	}
}

func TestLoadErrors(t *testing.T) {
	ctx := context.Background()
	rt, err := wasmrt.New(ctx, &wasmrt.Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close(ctx)
	good := program(1)
	for _, c := range []struct {
		code []byte
		want string
	}{
		{nil, "not a WebAssembly module"}, {[]byte("\x7fELF"), "not a WebAssembly module"}, {good[:20], "truncated"},
		{[]byte("\x00asm\x0d\x00\x01\x00"), "component"}, {program(1, 0xff), "compile program: "},
		{bytes.Replace(good, []byte("proc_exit"), []byte("proc_exxx"), 1), ""},
	} {
		m, err := rt.Load(ctx, c.code)
		if c.want == "" { // an unknown import fails only when the module runs
			_, err = rt.Run(ctx, &wasmrt.Program{Module: m})
			c.want = "proc_exxx"
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %s", c.code, err, c.want)
		}
	}
}

// TestNoNetwork checks that no call opens a socket, and that no descriptor of a program is a socket.
func TestNoNetwork(t *testing.T) {
	for _, call := range []string{"sock_open", "sock_bind", "sock_dial"} {
		call = (call + "_____")[:9]
		_, err := run(t, bytes.Replace(program(1), []byte("proc_exit"), []byte(call), 1), nil)
		if err == nil || !strings.Contains(err.Error(), call) {
			t.Errorf("a program that imports %s: got %v", call, err)
		}
	}
	if out := newBox(t, nil).run("accept"); out != "" {
		t.Errorf("accept: got %q", out)
	}
}

func TestCancelEndsAProgramThatMakesCalls(t *testing.T) {
	b := newBox(t, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err := b.rt.Run(ctx, &wasmrt.Program{Module: b.guest, Args: []string{"guest", "chatter"}, FS: b.fs})
	var trap *wasmrt.TrapError
	if !errors.As(err, &trap) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a trap by the deadline", err)
	}
}

func TestStandardStreams(t *testing.T) {
	b := newBox(t, nil)
	out, _, err := b.try(func(p *wasmrt.Program) { p.Stdin = strings.NewReader("input") }, "stdin", "tty", "stdin")
	if want := "input\nfalse false false \n"; err != nil || out != want {
		t.Errorf("got %q, %v, want %q", out, err, want)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	out, _, err = b.try(func(p *wasmrt.Program) { p.Stdin, p.Stdout = null, null }, "tty")
	if want := "false false false "; err != nil || out != want {
		t.Errorf("the host's null device: got %q, %v, want %q", out, err, want)
	}
	if out, exit, err := b.try(nil, "exit 3"); exit != 3 || err != nil {
		t.Errorf("exit code: got %d, %v, %q", exit, err, out)
	}
}

func TestRealClockAndRandom(t *testing.T) {
	b := newBox(t, nil)
	change := func(p *wasmrt.Program) { p.Real = true }
	one, _, err := b.try(change, "time", "random")
	if err != nil || strings.HasPrefix(one, "1980") {
		t.Errorf("got %q, %v, want the present", one, err)
	}
	two, _, _ := b.try(change, "time", "random")
	if one[21:] == two[21:] {
		t.Errorf("got the same random numbers twice: %q", one)
	}
}

func TestArgumentsAreChecked(t *testing.T) {
	b := newBox(t, nil)
	for name, change := range map[string]func(*wasmrt.Program){
		"zero byte": func(p *wasmrt.Program) { p.Args = []string{"a\x00b"} },
		"directory": func(p *wasmrt.Program) { p.Dir = "/nowhere" },
		"relative":  func(p *wasmrt.Program) { p.Dir = "nuka" },
		"module":    func(p *wasmrt.Program) { p.Module = nil },
	} {
		if _, _, err := b.try(change, "pwd"); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}
