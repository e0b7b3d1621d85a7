package wasmrt_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/MordragT/nuka/wasmrt"
)

// newHost returns a host with an input package at /nuka/store/p, which contains the guest under several names.
func newHost(t testing.TB, l wasmrt.Limits, more ...wasmrt.Mount) (*box, *wasmrt.Host) {
	t.Helper()
	st, err := os.Stat(guestWasm)
	if err != nil {
		t.Fatal(err)
	}
	wrapper := []byte("#!nuka-wrap\n" + `{"args":["env","--"],"env":{"WRAPPED":"yes"},"exe":"/nuka/store/p/bin/multi"}` + "\n")
	placed := []byte("#!nuka-wrap\n" + `{"args":["args","-I/nuka/out/share","/nuka/output"],"at":"bin/placed","exe":"/nuka/out/bin/multi","out":"/nuka/out"}` + "\n")
	tree, err := wasmrt.NewTree(slices.Values([]wasmrt.Entry{
		{Path: "bin/placed", Kind: wasmrt.KindFile, Exec: true, Data: placed},
		{Path: "bin/linked", Kind: wasmrt.KindSymlink, Target: "placed"},
		{Path: "bin/moved", Kind: wasmrt.KindFile, Exec: true, Data: placed},
		{Path: "libexec/guest.wasm", Kind: wasmrt.KindFile, Exec: true, Size: st.Size(), File: guestWasm},
		{Path: "bin/guest", Kind: wasmrt.KindSymlink, Target: "../libexec/guest.wasm"},
		{Path: "bin/multi", Kind: wasmrt.KindSymlink, Target: "guest"},
		{Path: "bin/wrapped", Kind: wasmrt.KindFile, Exec: true, Data: wrapper},
		{Path: "bin/script", Kind: wasmrt.KindFile, Exec: true, Data: []byte("#!/usr/bin/env guest\nargs\n")},
		{Path: "bin/sh-script", Kind: wasmrt.KindFile, Exec: true, Data: []byte("#! /bin/multi args\n")},
		{Path: "bin/text", Kind: wasmrt.KindFile, Exec: true, Data: []byte("hello\n")},
		{Path: "bin/broken", Kind: wasmrt.KindFile, Exec: true, Data: []byte("\x00asm\x01\x00\x00\x00\x01\xff")},
		{Path: "bin/ring", Kind: wasmrt.KindFile, Exec: true, Data: []byte("#!ring\n")},
		{Path: "bin/dangling", Kind: wasmrt.KindSymlink, Target: "/usr/bin/nothing"},
	}))
	if err != nil {
		t.Fatal(err)
	}
	b := newBox(t, nil, append(more, wasmrt.Mount{Path: "/nuka/store/p", Tree: tree})...)
	return b, &wasmrt.Host{Runtime: b.rt, FS: b.fs, Path: []string{"/nuka/store/p/bin"}, Env: []string{"HOST=1"}, Limits: l}
}

func command(h *wasmrt.Host, args ...string) (string, int, error) {
	var out bytes.Buffer
	exit, err := h.Exec(context.Background(), &wasmrt.Command{Args: args, Dir: "/nuka/build", Stdout: &out, Stderr: &out})
	return out.String(), exit, err
}

func TestHostFindsPrograms(t *testing.T) {
	_, h := newHost(t, wasmrt.Limits{})
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"guest", "args"}, `["/nuka/store/p/bin/guest" "args"]` + "\n"},
		{[]string{"multi", "args"}, "called as multi\n" + `["/nuka/store/p/bin/multi" "args"]` + "\n"},
		{[]string{"../store/p/bin/guest", "args"}, `["../store/p/bin/guest" "args"]` + "\n"},
		{[]string{"wrapped", "args"}, "called as multi\nHOST=1\nWRAPPED=yes\nPWD=/nuka/build\n" + `["/nuka/store/p/bin/multi" "env" "--" "args"]` + "\n"},
		{[]string{"placed", "x"}, "called as multi\n" + `["/nuka/store/p/bin/multi" "args" "-I/nuka/store/p/share" "/nuka/output" "x"]` + "\n"},
		{[]string{"linked"}, "called as multi\n" + `["/nuka/store/p/bin/multi" "args" "-I/nuka/store/p/share" "/nuka/output"]` + "\n"},
		{[]string{"sh-script", "x"}, "called as multi\n" + `["/nuka/store/p/bin/multi" "args" "/nuka/store/p/bin/sh-script" "x"]` + "\n"},
		{[]string{"guest", "exec", "multi", "pwd"}, "called as multi\n/nuka/build\nexit 0\n"},
		{[]string{"guest", "mkdir", "sub", "--", "execin", "sub", "guest", "env", "--", "pwd"}, "ONLY=this\nPWD=/nuka/build/sub\n/nuka/build/sub\nexit 0\n"},
		{[]string{"guest", "exec", "guest", "exit", "7"}, "exit 7\n"},
		{[]string{"guest", "exec", "nothing"}, "nuka: program \"nothing\": not found in any input package\nexit 0\nexec: No such file or directory\n"},
	} {
		// The guest separates its commands by "--", so nested commands omit the separator.
		args := c.args
		if i := slices.Index(args, "execin"); i >= 0 {
			args = []string{"guest", "mkdir", "sub"}
			if _, _, err := command(h, args...); err != nil {
				t.Fatal(err)
			}
			out1, _, _ := command(h, "guest", "execin", "sub", "guest", "env")
			out2, _, _ := command(h, "guest", "execin", "sub", "guest", "pwd")
			if got := strings.TrimSuffix(out1, "exit 0\n") + out2; got != c.want {
				t.Errorf("execin: got %q, want %q", got, c.want)
			}
			continue
		}
		out, _, err := command(h, args...)
		if err != nil || out != c.want {
			t.Errorf("%q: got %q, %v, want %q", c.args, out, err, c.want)
		}
	}
}

func TestHostErrors(t *testing.T) {
	_, h := newHost(t, wasmrt.Limits{})
	for _, c := range []struct {
		name, want string
		missing    bool
	}{
		{"geust", `program "geust": not found in any input package (did you mean "guest"?)`, true},
		{"zzzzzz", `program "zzzzzz": not found in any input package`, true},
		{"dangling", `program "dangling": not found in any input package`, true},
		{"./nothing", `program "./nothing": no such file`, true},
		{"text", `program "text": not a program: neither a WebAssembly module nor a script`, false},
		{"broken", `program "broken": load program: truncated WebAssembly module`, false},
		{"moved", `program "moved": wrapper: it was made for bin/placed of its package and is at /nuka/store/p/bin/moved`, false},
		{"ring", `program "ring": a chain of more than 8 scripts and wrappers`, false},
		{"", `program "": not found in any input package`, true},
		{"..", `program "..": not found in any input package`, true},
	} {
		_, _, err := command(h, c.name)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %s", c.name, err, c.want)
		}
		if errors.Is(err, fs.ErrNotExist) != c.missing {
			t.Errorf("%q: is ErrNotExist: got %v, want %v", c.name, !c.missing, c.missing)
		}
	}
}

func TestHostLimits(t *testing.T) {
	limit := func(err error) string {
		var l *wasmrt.LimitError
		if !errors.As(err, &l) {
			return ""
		}
		return l.What
	}
	t.Run("depth", func(t *testing.T) {
		_, h := newHost(t, wasmrt.Limits{Depth: 5, Total: 50}) // Total stops the bomb if Depth is ever broken
		_, _, err := command(h, "guest", "bomb")
		if got, want := limit(err), "more than 5 programs run one another"; got != want {
			t.Errorf("got %q (%v), want %q", got, err, want)
		}
	})
	t.Run("total", func(t *testing.T) {
		_, h := newHost(t, wasmrt.Limits{Total: 20})
		_, _, err := command(h, "guest", "repeat", "1000000")
		if got, want := limit(err), "more than 20 programs were run"; got != want {
			t.Errorf("got %q (%v), want %q", got, err, want)
		}
	})
	t.Run("output", func(t *testing.T) {
		_, h := newHost(t, wasmrt.Limits{Output: 1 << 20})
		out, exit, err := command(h, "guest", "exec", "guest", "flood", "100000000")
		if got, want := limit(err), "more than 1048576 bytes of output"; got != want {
			t.Errorf("got %q (%v), want %q", got, err, want)
		}
		if len(out) > 1<<20 || exit != wasmrt.ExitTrap {
			t.Errorf("got %d bytes and exit %d, want at most %d bytes and %d", len(out), exit, 1<<20, wasmrt.ExitTrap)
		}
	})
	t.Run("total memory", func(t *testing.T) {
		_, h := newHost(t, wasmrt.Limits{TotalMemory: 64 << 20})
		_, exit, err := command(h, "guest", "memory", "100")
		if exit == 0 && err == nil {
			t.Errorf("a program got 100 MiB of 64")
		}
		if out, _, err := command(h, "guest", "memory", "10"); err != nil || out != "10 MiB\n" {
			t.Errorf("after it was given back: got %q, %v", out, err)
		}
	})
}

// TestHostHammer runs many programs at once, each of which runs another one, on the same file system.
func TestHostHammer(t *testing.T) {
	b, h := newHost(t, wasmrt.Limits{Running: 4})
	n := 40
	if testing.Short() {
		n = 8
	}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			name := string(rune('a'+i%26)) + strings.Repeat("x", i/26)
			out, exit, err := command(h, "guest", "mkdir", name, "--", "write", name+"/f", name, "--", "rename", name, name+".d",
				"--", "exec", "guest", "cat", name+".d/f", "--", "rmall", name+".d")
			if want := name + "\nexit 0\n"; out != want || exit != 0 || err != nil {
				t.Errorf("got %q, %d, %v, want %q", out, exit, err, want)
			}
		})
	}
	wg.Wait()
	if out := b.run("ls ."); out != "" {
		t.Errorf("left over: %q", out)
	}
}
