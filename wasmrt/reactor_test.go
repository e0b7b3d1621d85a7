package wasmrt_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/wasmrt"
)

func newReactor(t testing.TB, o *wasmrt.ReactorConfig) *wasmrt.Reactor {
	t.Helper()
	ctx := context.Background()
	rt, err := wasmrt.New(ctx, &wasmrt.Options{CacheDir: runtimeDir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rt.Close(ctx) })
	m, err := rt.LoadFile(ctx, reactorWasm)
	if err != nil {
		t.Fatal(err)
	}
	x, err := rt.Instantiate(ctx, m, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close(ctx) })
	return x
}

func TestReactor(t *testing.T) {
	fs, err := wasmrt.NewFS(wasmrt.Mount{Path: "/set", Tree: tree(t, file("lib/zlib.nu", "export def main"))})
	if err != nil {
		t.Fatal(err)
	}
	type key struct{}
	x := newReactor(t, &wasmrt.ReactorConfig{FS: fs, Dir: "/set", Host: func(ctx context.Context, req []byte) []byte {
		return []byte(strings.ToUpper(string(req)) + ctx.Value(key{}).(string))
	}})
	ctx := context.WithValue(context.Background(), key{}, "!")
	for _, c := range []struct{ req, want string }{
		{"echo hello", "hello"}, {"echo ", ""}, {"host hello", "host says HELLO!"}, {"cat lib/zlib.nu", "export def main"},
		{"cat /etc/passwd", "open /etc/passwd: No such file or directory"}, {"echo " + strings.Repeat("long", 1<<18), strings.Repeat("long", 1<<18)},
		{"sleep", "slept"}, {"calls", "xxxxxxxx"}, {"kept", "x"},
	} {
		got, err := x.Call(ctx, []byte(c.req))
		if err != nil || string(got) != c.want {
			t.Errorf("%.40s: got %.40q, %v, want %.40q", c.req, got, err, c.want)
		}
	}
}

func TestReactorIsBounded(t *testing.T) {
	for _, c := range []struct{ req, want string }{
		{"loop", "stopped: context deadline exceeded"},
		{"grow", "out of memory"},
		{"exit", "exited with code 5"},
		{"panic", "aborted (unreachable code)"},
		{"deep", "out of memory (limit 24 MiB)"},
		{"lie", "answer lies outside of its memory"},
	} {
		t.Run(c.req, func(t *testing.T) {
			var stderr strings.Builder
			x := newReactor(t, &wasmrt.ReactorConfig{Name: "nu", MemoryLimit: 24 << 20, Stderr: &stderr})
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			if c.req != "loop" {
				ctx = context.Background()
			}
			start := time.Now()
			_, err := x.Call(ctx, []byte(c.req))
			var trap *wasmrt.TrapError
			got := ""
			if err != nil {
				got = err.Error() + stderr.String()
			}
			if !errors.As(err, &trap) || !strings.Contains(got, c.want) || !strings.HasPrefix(got, `program "nu": `) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if c.req == "loop" && (!errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 5*time.Second) {
				t.Errorf("got %v after %v", err, time.Since(start))
			}
			if _, again := x.Call(context.Background(), []byte("echo x")); again == nil {
				t.Error("the reactor was not dropped")
			}
		})
	}
}
