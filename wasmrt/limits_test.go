package wasmrt_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/MordragT/nuka/wasmrt"
)

// TestManyFilesHitTheLimit runs a program that creates a million files where twenty thousand are allowed (a thousand with
// -short): the program sees that no space is left, and the error names the limit.
func TestManyFilesHitTheLimit(t *testing.T) {
	most := int64(20_000)
	if testing.Short() {
		most = 1_000
	}
	b := newBox(t, &wasmrt.DirOptions{MaxFiles: most})
	out := b.run("mkdir d", "many d 1000000")
	if want := fmt.Sprintf("many: after %d: open d/f%07d: No space left on device\n", most-1, most-1); out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	if err := b.dir.Exceeded(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("more than %d files", most)) {
		t.Errorf("got %v", err)
	}
	out = b.run("mkdir x", "symlink a x", "link d/f0000000 x", "write x y")
	if strings.Count(out, "No space left on device") != 4 {
		t.Errorf("other ways to make a name: got %q", out)
	}
	if out := b.run("rm d/f0000000", "write x y", "rename x d/f0000001", "write x y"); out != "" {
		t.Errorf("after removals: got %q", out)
	}
}

func TestSparseFileHitsTheLimit(t *testing.T) {
	b := newBox(t, &wasmrt.DirOptions{MaxBytes: 1 << 30, MaxFileSize: 1 << 28})
	out := b.run("open f f rw", "truncate f 100000000000", "pwrite f 100000000000 x", "pwrite f 0x7fffffffffffffff x", "allocate f 100000000000", "size f", "truncate f 0x7fffffffffffffff")
	const fbig = "File too large"
	if strings.Count(out, fbig) != 5 || !strings.Contains(out, "\n0\n") {
		t.Errorf("got %q", out)
	}
	if err := b.dir.Exceeded(); err == nil || !strings.Contains(err.Error(), "larger than 268435456 bytes") {
		t.Errorf("got %v", err)
	}
	if st, err := os.Stat(b.host("f")); err != nil || st.Size() != 0 {
		t.Errorf("on the host: got %v, %v", st.Size(), err)
	}
}

// TestBytesAreCounted checks that the bytes of a file count once, whatever its names and the paths to it, until the last
// handle is closed.
func TestBytesAreCounted(t *testing.T) {
	const mib = "0x100000"
	b := newBox(t, &wasmrt.DirOptions{MaxBytes: 4 << 20})
	for _, c := range []struct {
		name string
		cmds []string
		want string
	}{
		{"fill", []string{"write a x", "truncate a 0x400000", "append a x"}, "append: write a: No space left on device\n"},
		{"shrink", []string{"truncate a " + mib, "append a x"}, ""},
		{"a link is no copy", []string{"link a b", "rm a", "write c x", "truncate c 0x2f0000", "truncate c 0x300000"}, "truncate: truncate c: No space left on device\n"},
		{"the last name", []string{"rm b", "truncate c 0x400000"}, ""},
		{"unlinked but open", []string{"open k c rw", "rm c", "write d x", "truncate d 2", "close k", "write d x", "truncate d 0x400000"},
			"write: write d: No space left on device\ntruncate: truncate d: No space left on device\n"},
		{"renamed over", []string{"truncate d " + mib, "write e x", "truncate e 0x300000", "rename d e", "truncate e 0x400000"}, ""},
		{"truncated by opening", []string{"write e x", "write f x", "truncate f 0x3fffff", "append f y"}, "append: write f: No space left on device\n"},
		{"removed at the end", []string{"rm e", "rm f", "write g x", "truncate g 0x400000", "rm g"}, ""},
	} {
		if got := b.run(c.cmds...); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestExistingFilesCount checks that files count that a scratch contained from the start.
func TestExistingFilesCount(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/f", make([]byte, 1000), 0o644); err != nil {
		t.Fatal(err)
	}
	d, err := wasmrt.OpenDir(dir, &wasmrt.DirOptions{MaxBytes: 1000, MaxFiles: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	b := newBox(t, nil, wasmrt.Mount{Path: "/nuka/out", Dir: d})
	got := b.run("write /nuka/out/g x", "append /nuka/out/f x", "write /nuka/out/h x", "rm /nuka/out/f", "append /nuka/out/g xyz")
	want := "write: write /nuka/out/g: No space left on device\nappend: write /nuka/out/f: No space left on device\n" +
		"write: open /nuka/out/h: No space left on device\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOpenFilesAreLimited(t *testing.T) {
	b := newBox(t, nil)
	// The limit is 4096, including files that the program has open at its start, whatever the limit of the process that runs it.
	if got, want := b.run("write f x", "openmany f"), "openmany: after 4091: open f: Too many open files\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
