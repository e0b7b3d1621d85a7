package castest

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir/cid"
)

func mustImport(t *testing.T, s Store, fsys fs.FS, o *cas.ImportOptions) cid.CID {
	t.Helper()
	c, err := s.Import(context.Background(), fsys, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func testTree(t *testing.T, s Store) { checkTree(t, s, Tree()) }
func testWide(t *testing.T, s Store) { checkTree(t, s, WideTree()) }

func checkTree(t *testing.T, s Store, tree fstest.MapFS) {
	ctx := context.Background()
	c := mustImport(t, s, tree, nil)
	want, err := cid.HashTree(ctx, tree, nil)
	if err != nil || c != want {
		t.Errorf("got %s, want %s (%v)", c, want, err)
	}
	if again := mustImport(t, s, tree, nil); again != c {
		t.Errorf("imported again: got %s, want %s", again, c)
	}
	CheckTree(t, s, c, tree)
}

// CheckTree compares a tree in the store with the imported one, including the bytes of files.
func CheckTree(t *testing.T, s Store, c cid.CID, tree fs.FS) {
	t.Helper()
	ctx := context.Background()
	model := NewModel()
	want, err := Collect(model.Entries(ctx, mustImport(t, model, tree, nil)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Collect(s.Entries(ctx, c))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b cid.CID) bool { return a == b })); diff != "" {
		t.Fatalf("entries (-want +got):\n%s", diff)
	}
	for _, e := range got {
		one, err := s.Lookup(ctx, c, e.Path)
		if err != nil || one != e {
			t.Fatalf("lookup %q: got %+v, want %+v (%v)", e.Path, one, e, err)
		}
		if ok, err := s.Has(e.CID); !ok || err != nil {
			t.Errorf("has %q: got %t, %v", e.Path, ok, err)
		}
		if e.Kind != cas.File {
			if _, err := s.ReadFile(ctx, e.CID); err == nil {
				t.Errorf("reading %s %q as a file: got no error", e.Kind, e.Path)
			}
			continue
		}
		b, err := s.ReadFile(ctx, e.CID)
		if err != nil {
			t.Fatalf("read %q: %v", e.Path, err)
		}
		want, err := fs.ReadFile(tree, e.Path)
		if err != nil {
			t.Fatal(err)
		}
		if string(b) != string(want) {
			t.Errorf("%q has other bytes", e.Path)
		}
	}
}

func testFile(t *testing.T, s Store) {
	ctx := context.Background()
	tree := Tree()
	for _, name := range []string{"bin/tool", "share/same", "share/big", "share/big.exec", "empty/file", "empty/exec"} {
		c := mustImport(t, s, tree, &cas.ImportOptions{File: name})
		e, err := s.Lookup(ctx, c, "")
		if err != nil {
			t.Fatal(err)
		}
		want := cas.Entry{Kind: cas.File, Exec: tree[name].Mode&0o111 != 0, Size: int64(len(tree[name].Data)), CID: c}
		if e != want {
			t.Errorf("%s: got %+v, want %+v", name, e, want)
		}
		if b, err := s.ReadFile(ctx, c); err != nil || string(b) != string(tree[name].Data) {
			t.Errorf("%s has other bytes (%v)", name, err)
		}
	}
	c := mustImport(t, s, tree, &cas.ImportOptions{File: "share/same", Exec: func(string, fs.FileInfo) bool { return true }})
	if e, err := s.Lookup(ctx, c, ""); err != nil || !e.Exec {
		t.Errorf("got %+v, want an executable (%v)", e, err)
	}
}

func testAbsent(t *testing.T, s Store) {
	ctx := context.Background()
	c := mustImport(t, s, Tree(), nil)
	for _, path := range []string{"x", "bin/x", "bin/tool/x", "bin/sh/x", "share/SAME"} {
		if _, err := s.Lookup(ctx, c, path); !errors.Is(err, cas.ErrNotFound) {
			t.Errorf("lookup %q: got %v, want %v", path, err, cas.ErrNotFound)
		}
	}
	for _, path := range []string{".", "..", "/", "bin/", "/bin", "bin//tool", "../bin", "a\x00b", "\xff"} {
		if _, err := s.Lookup(ctx, c, path); err == nil {
			t.Errorf("lookup %q: got no error", path)
		}
	}
	for _, absent := range []cid.CID{cid.Sum(cid.Raw, []byte("absent")), cid.Sum(cid.DagPB, []byte("absent"))} {
		if ok, err := s.Has(absent); ok || err != nil {
			t.Errorf("has %s: got %t, %v", absent, ok, err)
		}
		if _, err := s.Lookup(ctx, absent, ""); !errors.Is(err, cas.ErrNotFound) {
			t.Errorf("lookup in %s: got %v", absent, err)
		}
		if _, err := Collect(s.Entries(ctx, absent)); !errors.Is(err, cas.ErrNotFound) {
			t.Errorf("entries of %s: got %v", absent, err)
		}
		if _, err := s.ReadFile(ctx, absent); !errors.Is(err, cas.ErrNotFound) {
			t.Errorf("read %s: got %v", absent, err)
		}
		if _, err := s.Block(ctx, absent); !errors.Is(err, cas.ErrNotFound) {
			t.Errorf("block %s: got %v", absent, err)
		}
	}
	if ok, err := s.Has(cid.CID{}); ok || err != nil {
		t.Errorf("has nothing: got %t, %v", ok, err)
	}
}

func testNames(t *testing.T, s Store) {
	for _, name := range []string{"a\xffb", strings.Repeat("x", 256)} {
		_, err := s.Import(context.Background(), oddName{name}, nil)
		if !errors.Is(err, cid.ErrName) {
			t.Errorf("name %q: got %v, want %v", name, err, cid.ErrName)
		}
	}
	_, err := s.Import(context.Background(), fstest.MapFS{"l": {Data: []byte("a\x00b"), Mode: fs.ModeSymlink}}, nil)
	if !errors.Is(err, cid.ErrName) {
		t.Errorf("target: got %v, want %v", err, cid.ErrName)
	}
}

// oddName is a tree with one file whose name fstest.MapFS does not support.
type oddName struct{ name string }

func (o oddName) Open(name string) (fs.File, error) {
	return fstest.MapFS{"x": {Data: []byte("x")}}.Open(strings.ReplaceAll(name, o.name, "x"))
}

func (o oddName) ReadDir(string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(fstest.MapFS{"x": {Data: []byte("x")}}, ".")
	return []fs.DirEntry{renamed{list[0], o.name}}, err
}

type renamed struct {
	fs.DirEntry
	name string
}

func (r renamed) Name() string { return r.name }

func testTypes(t *testing.T, s Store) {
	for name, mode := range map[string]fs.FileMode{
		"device": fs.ModeDevice, "char": fs.ModeDevice | fs.ModeCharDevice, "pipe": fs.ModeNamedPipe, "socket": fs.ModeSocket,
		"irregular": fs.ModeIrregular, "setuid": fs.ModeSetuid | 0o755, "setgid": fs.ModeSetgid | 0o755,
	} {
		tree := fstest.MapFS{"good": {Data: []byte(name)}, "dir/" + name: {Mode: mode}}
		if _, err := s.Import(context.Background(), tree, nil); !errors.Is(err, cid.ErrFileType) {
			t.Errorf("%s: got %v, want %v", name, err, cid.ErrFileType)
		}
		if ok, _ := s.Has(cid.Sum(cid.Raw, []byte(name))); ok {
			t.Errorf("%s: a part of a refused tree is there", name)
		}
	}
}

func testBlocks(t *testing.T, s Store) {
	ctx := context.Background()
	for _, tree := range []fs.FS{Tree(), WideTree()} {
		c := mustImport(t, s, tree, nil)
		seen := map[cid.CID]bool{}
		var visit func(c cid.CID)
		visit = func(c cid.CID) {
			if seen[c] || t.Failed() {
				return
			}
			seen[c] = true
			b, err := s.Block(ctx, c)
			if err != nil || cid.Sum(c.Codec(), b) != c {
				t.Errorf("block %s: %v", c, err)
				return
			}
			if c.Codec() == cid.Raw {
				return
			}
			n, err := cid.Decode(b)
			if err != nil {
				t.Errorf("block %s: %v", c, err)
				return
			}
			for _, l := range n.Links {
				visit(l.CID)
			}
		}
		visit(c)
		if len(seen) < 10 {
			t.Errorf("got %d blocks", len(seen))
		}
	}
}
