package wasmrt_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/MordragT/nuka/wasmrt"
)

// newSelfHost returns a host with two packages, p with the programs guest and posix, and q with the same guest and with scripts that programs of p interpret.
func newSelfHost(t *testing.T) (*box, *wasmrt.Host) {
	t.Helper()
	program := func(at, file string) wasmrt.Entry {
		st, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return wasmrt.Entry{Path: at, Kind: wasmrt.KindFile, Exec: true, Size: st.Size(), File: file}
	}
	text := func(at, s string) wasmrt.Entry {
		return wasmrt.Entry{Path: at, Kind: wasmrt.KindFile, Exec: strings.HasPrefix(at, "bin/"), Data: []byte(s)}
	}
	link := func(at, target string) wasmrt.Entry {
		return wasmrt.Entry{Path: at, Kind: wasmrt.KindSymlink, Target: target}
	}
	tree := func(entries ...wasmrt.Entry) *wasmrt.Tree {
		tree, err := wasmrt.NewTree(slices.Values(entries))
		if err != nil {
			t.Fatal(err)
		}
		return tree
	}
	p := tree(program("bin/guest", guestWasm), program("bin/posix", posixWasm), text("share/name", "p"), text("share/p", "only p"),
		link("share/loop", "/nuka/self/share/loop"), link("share/same", "/nuka/self/share/name"))
	q := tree(program("bin/guest", guestWasm), text("share/name", "q"), text("bin/show", "#!/bin/guest cat"), text("bin/own", "#!/nuka/self/bin/guest cat"),
		text("bin/wrapped", "#!nuka-wrap\n"+`{"exe":"/nuka/store/p/bin/guest"}`+"\n"))
	b := newBox(t, nil, wasmrt.Mount{Path: "/nuka/store/p", Tree: p}, wasmrt.Mount{Path: "/nuka/store/q", Tree: q})
	return b, &wasmrt.Host{Runtime: b.rt, FS: b.fs, Path: []string{"/nuka/store/p/bin", "/nuka/store/q/bin"}}
}

func TestSelf(t *testing.T) {
	b, h := newSelfHost(t)
	if err := os.Symlink("/nuka/self/share/name", b.host("name")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"guest cat /nuka/self/share/name", "p\n"},
		{"/nuka/store/q/bin/guest cat /nuka/self/share/name", "q\n"},
		{"guest cat ../self/share/name", "p\n"},
		{"guest cat ../store/p/../../self/./share//name", "p\n"},
		{"guest cat name", "p\n"}, // a link outside of the packages
		{"/nuka/store/q/bin/guest cat name", "q\n"},
		{"guest cat /nuka/self/share/same", "p\n"},
		{"/nuka/store/q/bin/guest cat /nuka/store/p/share/same", "q\n"}, // a link of another package
		{"guest ls /nuka/self", "bin d---------\nshare d---------\n"},
		{"guest cat /nuka/self/share/loop", "cat: open /nuka/self/share/loop: Too many symbolic links\n"},
		{"/nuka/store/q/bin/guest cat /nuka/self/share/p", "cat: open /nuka/self/share/p: No such file or directory\n"},
		{"guest write /nuka/self/new x", "write: open /nuka/self/new: Read-only file system\n"},
		{"guest write /nuka/self/share/name x", "write: open /nuka/self/share/name: Read-only file system\n"},
		// A script's own package comes first, then the one of its interpreter; a wrapper counts as a script.
		{"show -- cat /nuka/self/share/name -- cat /nuka/self/share/p", "#!/bin/guest cat\nq\nonly p\n"},
		{"own -- cat /nuka/self/share/name -- cat /nuka/self/share/p", "#!/nuka/self/bin/guest cat\nq\ncat: open /nuka/self/share/p: No such file or directory\n"},
		{"show -- cat /nuka/self/share/loop/x", "#!/bin/guest cat\ncat: open /nuka/self/share/loop/x: No such file or directory\n"},
		{"wrapped cat /nuka/self/share/name -- cat /nuka/self/share/p", "q\nonly p\n"},
		// Each program of a command has its own, and then those of the programs before it.
		{"posix exec /nuka/store/q/bin/guest cat /nuka/self/share/p", "only p\n"},
		{"posix exec /bin/posix exec /nuka/store/q/bin/guest cat /nuka/self/share/p -- cat /nuka/self/share/name", "only p\nq\n"},
		{"guest exec /nuka/store/q/bin/guest cat /nuka/self/share/p", "only p\nexit 0\n"},
		{"guest exec /nuka/store/q/bin/guest cat /nuka/self/share/name", "q\nexit 0\n"},
		{"posix exec /nuka/self/bin/guest cat /nuka/self/share/name", "p\n"},
		{"posix exec /nuka/store/q/bin/guest cat /nuka/self/share/name", "q\n"},
		{"posix exec /bin/show -- cat /nuka/self/share/p", "#!/bin/guest cat\nonly p\n"},
		{"posix exec /bin/posix exec /nuka/self/bin/guest cat /nuka/self/share/name", "p\n"},
	} {
		out, _, err := command(h, strings.Fields(c.args)...)
		if out != c.want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", c.args, out, err, c.want)
		}
	}
	// A program that is in no package has none.
	guest, err := os.ReadFile(guestWasm)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(b.host("sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.host("sub/guest"), guest, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, _, err := command(h, "sub/guest", "cat", "/nuka/self/share/name"); out != "cat: open /nuka/self/share/name: No such file or directory\n" || err != nil {
		t.Errorf("a program in a folder: got %q, %v", out, err)
	}
	if _, err := wasmrt.NewFS(wasmrt.Mount{Path: wasmrt.Self, Tree: &wasmrt.Tree{}}); err == nil {
		t.Error("a mount at " + wasmrt.Self + " was taken")
	}
}

// The result of a program is not that of the same program in another package, even if both are called by one name.
func TestSelfRemembered(t *testing.T) {
	program, err := os.ReadFile(memoWasm)
	if err != nil {
		t.Fatal(err)
	}
	var mounts []wasmrt.Mount
	for _, name := range []string{"p", "q"} {
		tree, _ := lazy(t, wasmrt.Entry{Path: "bin/memo", Kind: wasmrt.KindFile, Exec: true, Data: program},
			wasmrt.Entry{Path: "share/name", Kind: wasmrt.KindFile, Data: []byte(name)})
		mounts = append(mounts, wasmrt.Mount{Path: "/nuka/store/" + name, Tree: tree})
	}
	b := newBox(t, nil, mounts...)
	h := &wasmrt.Host{Runtime: b.rt, FS: b.fs, Memo: &memory{records: map[[32]byte][]byte{}}}
	if err := os.WriteFile(b.host("a.c"), []byte("include name\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"p", "q", "p", "q"} {
		os.Remove(b.host("program"))
		if err := os.Symlink("/nuka/store/"+name+"/bin/memo", b.host("program")); err != nil {
			t.Fatal(err)
		}
		if out, _, err := command(h, "./program", "-I/nuka/self/share", "a.c", "-o", "a.o"); err != nil {
			t.Fatal(out, err)
		}
		got, err := os.ReadFile(b.host("a.o"))
		if hits, _ := h.Remembered(); string(got) != name || err != nil || hits != max(0, int64(i)-1) {
			t.Errorf("run %d, in %s: got %q, %v, %d of the results were kept", i, name, got, err, hits)
		}
		os.Remove(b.host("a.o"))
	}
}
