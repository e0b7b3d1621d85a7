package wasmrt_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/MordragT/nuka/wasmrt"
)

// newKernelHost returns a host with an input package at /nuka/store/p, which contains the program of testdata/posix as posix, and the guest, which is not
// made for processes.
func newKernelHost(t testing.TB, l wasmrt.Limits) (*box, *wasmrt.Host) {
	t.Helper()
	size := func(name string) int64 {
		st, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return st.Size()
	}
	tree, err := wasmrt.NewTree(slices.Values([]wasmrt.Entry{
		{Path: "bin/posix", Kind: wasmrt.KindFile, Exec: true, Size: size(posixWasm), File: posixWasm},
		{Path: "bin/guest", Kind: wasmrt.KindFile, Exec: true, Size: size(guestWasm), File: guestWasm},
		{Path: "bin/link", Kind: wasmrt.KindSymlink, Target: "posix"},
		{Path: "bin/script", Kind: wasmrt.KindFile, Exec: true, Data: []byte("#!/bin/posix echo\n")},
		{Path: "bin/text", Kind: wasmrt.KindFile, Exec: true, Data: []byte("hello\n")},
		{Path: "bin/plain", Kind: wasmrt.KindFile, Data: []byte("hello\n")},
	}))
	if err != nil {
		t.Fatal(err)
	}
	b := newBox(t, nil, wasmrt.Mount{Path: "/nuka/store/p", Tree: tree})
	return b, &wasmrt.Host{Runtime: b.rt, FS: b.fs, Path: []string{"/nuka/store/p/bin"}, Limits: l}
}

func TestProcesses(t *testing.T) {
	b, h := newKernelHost(t, wasmrt.Limits{Running: 2})
	if err := os.WriteFile(b.host("old"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"posix echo a b", "a b\n"},
		{"posix fork", "child: x 42\nparent: x 41, the child's 0, status 768\nno child: errno 12\n"},
		{"posix big", "wrote 200000 0\n200000\n"},
		{"posix nest", "grandchild\nchild\nparent\n"},
		{"posix exec /bin/posix echo x", "x\n"},
		{"posix exec /bin/posix self", "/nuka/store/p/bin/posix\n/nuka/store/p/bin/posix\n"},
		{"posix exec /bin/link self", "/nuka/store/p/bin/posix\n/nuka/store/p/bin/posix\n"},
		{"posix exec /bin/script x y", "/nuka/store/p/bin/script x y\n"},
		{"posix pipeline posix echo a | posix cat | posix cat", "a\n"},
		{"posix pipeline posix echo a | guest stdin", "a\n\n"},
		{"posix pipeline nothing | posix echo b", "nothing: errno 44\nb\n"},
		{"posix sigpipe", "errno 64\n"},
		{"posix signal", "suspend 27, signal 10, then 0\nstatus 15\n"},
		{"posix jump", "set 0 time 1\nset 1 time 2\nset 2 time 3\nset 3 time 4\nset 7 time 5\nend 7\nend 3\n"},
		{"posix files", "old 420 315532800\nnew 493 315532860\nset back 315532800\ntouched 315532860\n/nuka/build\nchdir 0\n/nuka\nrelative 0\n"},
		{"posix descriptors", "pipe 3 4\ndup 10 cloexec 1 0\ndup2 7\nopen: 0 1 2 3 4 7\n"},
		{"posix pidfd", "running 0 1\nread 0\nended 0\nstatus 1792, then -12, own -12\nlowest 4\n"},
		{"posix trapchild jump", "nuka: posix (pid 1581493): longjmp to a place that setjmp has not noted\nstatus 6\n"},
	} {
		out, _, err := command(h, strings.Fields(c.args)...)
		if out != c.want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", c.args, out, err, c.want)
		}
	}
}
