// Package castest has what tests of content stores share.
//
// TestStore is the conformance suite: what every store promises, written once.
// A Model is a store in memory that is too simple to be wrong, for tests that compare.
// Compare runs the same random operations on a store and on a Model, reopening the store in between.
package castest

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// Store is the set of operations that the suite needs.
type Store interface {
	Import(ctx context.Context, fsys fs.FS, o *cas.ImportOptions) (cid.CID, error)
	Has(c cid.CID) (bool, error)
	Entries(ctx context.Context, root cid.CID) iter.Seq2[cas.Entry, error]
	Lookup(ctx context.Context, root cid.CID, path string) (cas.Entry, error)
	ReadFile(ctx context.Context, c cid.CID) ([]byte, error)
	Block(ctx context.Context, c cid.CID) ([]byte, error)
	ScanRefs(ctx context.Context, root cid.CID, candidates []pir.PID) ([]pir.PID, error)
	PutPIR(ctx context.Context, p pir.PID, canonical, origins []byte) error
	PIR(p pir.PID) (canonical, origins []byte, err error)
	Bind(ctx context.Context, a protocol.Attestation) error
	Unbind(ctx context.Context, p pir.PID) error
	CID(p pir.PID) (cid.CID, error)
	PIDs(c cid.CID) iter.Seq2[pir.PID, error]
	Attestations(p pir.PID) iter.Seq2[protocol.Attestation, error]
	PutRoot(ctx context.Context, r cas.Root) error
	Roots() iter.Seq2[cas.Root, error]
	DeleteRoot(ctx context.Context, name string) error
}

// OnDisk makes a cas.Store a Store.
type OnDisk struct{ *cas.Store }

// ReadFile reads a whole file.
func (s OnDisk) ReadFile(ctx context.Context, c cid.CID) ([]byte, error) {
	return ReadFile(ctx, s.Store, c)
}

// ReadFile reads a whole file of a store.
func ReadFile(ctx context.Context, s *cas.Store, c cid.CID) ([]byte, error) {
	f, err := s.OpenFile(ctx, c)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, info.Size())
	_, err = f.ReadAt(b, 0)
	return b, err
}

// Key returns a signing key that is always the same for one number.
func Key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(slices.Repeat([]byte{n}, ed25519.SeedSize))
}

// Attest returns a signed attestation.
func Attest(signer byte, p pir.PID, c cid.CID) protocol.Attestation {
	a := protocol.Attestation{PID: p, CID: c, Size: 1, Issued: time.Unix(1_700_000_000, 0)}
	if err := a.Sign(Key(signer)); err != nil {
		panic(err) // the fields above are complete
	}
	return a
}

// PID returns a PID and bytes that have it; the store does not look inside them.
func PID(n int) (pir.PID, []byte) {
	b := fmt.Appendf(nil, `{"data":%d,"kind":"data"}`, n)
	return pir.Sum(b), b
}

// Collect turns a sequence into a slice, up to its first error.
func Collect[T any](seq iter.Seq2[T, error]) ([]T, error) {
	var all []T
	for v, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

// Tree returns a tree with one of everything.
func Tree() fstest.MapFS {
	big := pattern(9, 2<<20+12345)
	t := fstest.MapFS{
		"bin/tool":        {Data: []byte("#!tool\n"), Mode: 0o755},
		"bin/sh":          {Data: []byte("tool"), Mode: fs.ModeSymlink | 0o777},
		"share/same":      {Data: []byte("#!tool\n"), Mode: 0o644},
		"share/big":       {Data: big, Mode: 0o644},
		"share/big.exec":  {Data: big, Mode: 0o755},
		"share/full":      {Data: big[:1<<20], Mode: 0o644},
		"share/ünï ☃\x01": {Data: []byte("x"), Mode: 0o600},
		"share/Case":      {Data: []byte("upper"), Mode: 0o644},
		"share/case":      {Data: []byte("lower"), Mode: 0o644},
		"empty/file":      {Mode: 0o644},
		"empty/exec":      {Mode: 0o755},
		"empty/dir":       {Mode: fs.ModeDir | 0o755},
		"dangling":        {Data: []byte("/nowhere/at all"), Mode: fs.ModeSymlink | 0o777},
	}
	return t
}

// WideTree returns a tree whose directory needs shards.
func WideTree() fstest.MapFS {
	t := fstest.MapFS{}
	for i := range 4500 {
		t["wide/"+strings.Repeat("n", 200)+fmt.Sprint(i*31)] = &fstest.MapFile{Data: []byte{byte(i)}, Mode: 0o644}
	}
	return t
}

// TestStore checks what every store promises. make returns a new, empty store.
func TestStore(t *testing.T, newStore func(t *testing.T) Store) {
	for name, test := range map[string]func(*testing.T, Store){
		"Tree": testTree, "Wide": testWide, "File": testFile, "Absent": testAbsent, "Names": testNames, "Types": testTypes,
		"Blocks": testBlocks, "PIR": testPIR, "Bind": testBind, "Roots": testRoots, "Refs": testRefs, "Cancel": testCancel,
		"Receive": testReceive, "Give": testGive,
	} {
		t.Run(name, func(t *testing.T) { test(t, newStore(t)) })
	}
}

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

// CheckTree compares a tree in the store with what was imported, down to the bytes.
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

// oddName is a tree with one file whose name fstest.MapFS would not hold.
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

func testPIR(t *testing.T, s Store) {
	ctx := context.Background()
	p, b := PID(1)
	if _, _, err := s.PIR(p); !errors.Is(err, cas.ErrNotFound) {
		t.Errorf("got %v, want %v", err, cas.ErrNotFound)
	}
	if err := s.PutPIR(ctx, p, []byte("other"), nil); err == nil {
		t.Error("bytes with another pid: got no error")
	}
	for _, tt := range []struct{ put, want string }{{"", ""}, {"a", "a"}, {"", "a"}, {"bc", "bc"}} {
		var origins []byte
		if tt.put != "" {
			origins = []byte(tt.put)
		}
		if err := s.PutPIR(ctx, p, b, origins); err != nil {
			t.Fatal(err)
		}
		got, o, err := s.PIR(p)
		if err != nil || string(got) != string(b) || string(o) != tt.want {
			t.Errorf("got %q, %q, %v, want %q, %q", got, o, err, b, tt.want)
		}
	}
}

func testBind(t *testing.T, s Store) {
	ctx := context.Background()
	c1, c2 := mustImport(t, s, Tree(), nil), mustImport(t, s, fstest.MapFS{}, nil)
	p1, _ := PID(1)
	p2, _ := PID(2)
	check := func(p pir.PID, want cid.CID, signers int) {
		t.Helper()
		got, err := s.CID(p)
		if want.IsZero() != errors.Is(err, cas.ErrNotFound) || got != want {
			t.Errorf("cid: got %s, %v, want %s", got, err, want)
		}
		atts, err := Collect(s.Attestations(p))
		if err != nil || len(atts) != signers {
			t.Errorf("got %d attestations, want %d (%v)", len(atts), signers, err)
		}
	}
	pids := func(c cid.CID, want ...pir.PID) {
		t.Helper()
		got, err := Collect(s.PIDs(c))
		if diff := cmp.Diff(protocol.SortRefs(want), protocol.SortRefs(got)); diff != "" || err != nil {
			t.Errorf("pids (-want +got): %v\n%s", err, diff)
		}
	}
	bind := func(a protocol.Attestation) {
		t.Helper()
		if err := s.Bind(ctx, a); err != nil {
			t.Fatal(err)
		}
	}
	check(p1, cid.CID{}, 0)
	bind(Attest(1, p1, c1))
	bind(Attest(1, p2, c1))
	bind(Attest(2, p2, c1))
	check(p1, c1, 1)
	check(p2, c1, 2)
	pids(c1, p1, p2)
	bind(Attest(3, p2, c2))
	check(p2, c2, 3)
	pids(c1, p1)
	pids(c2, p2)
	// One signer names another content: both words are kept. An older word for the same content changes nothing.
	again := Attest(1, p2, c2)
	bind(again)
	check(p2, c2, 4)
	older := Attest(1, p2, c2)
	older.Issued = older.Issued.Add(-time.Hour)
	if err := older.Sign(Key(1)); err != nil {
		t.Fatal(err)
	}
	bind(older)
	check(p2, c2, 4)
	atts, err := Collect(s.Attestations(p2))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range atts {
		if a.Issued.Before(again.Issued) {
			t.Errorf("an older statement replaced a newer one: %v", a.Issued)
		}
	}
	forged := Attest(1, p1, c2)
	forged.Signature[5]++
	if err := s.Bind(ctx, forged); err == nil {
		t.Error("forged: got no error")
	}
	if err := s.Bind(ctx, Attest(1, p1, cid.Sum(cid.DagPB, []byte("absent")))); !errors.Is(err, cas.ErrNotFound) {
		t.Errorf("absent content: got %v, want %v", err, cas.ErrNotFound)
	}
	check(p1, c1, 1)
	if err := s.Unbind(ctx, p1); err != nil {
		t.Error(err)
	}
	check(p1, cid.CID{}, 1)
	pids(c1)
	if err := s.Unbind(ctx, p1); !errors.Is(err, cas.ErrNotFound) {
		t.Errorf("unbind twice: got %v, want %v", err, cas.ErrNotFound)
	}
}

func testRoots(t *testing.T, s Store) {
	ctx := context.Background()
	c := mustImport(t, s, Tree(), nil)
	p, _ := PID(1)
	want := []cas.Root{
		{Name: "a", CID: c, Created: time.Unix(1, 0)},
		{Name: "profile/me/1", CID: c, PID: p, Created: time.Unix(2, 0)},
	}
	for _, r := range []cas.Root{want[1], {Name: "a", CID: c}, want[0], {Name: "z", CID: c}} {
		if err := s.PutRoot(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range []cas.Root{{Name: "", CID: c}, {Name: "\xff", CID: c}, {Name: "b"}, {Name: "b", CID: cid.Sum(cid.DagPB, nil)}} {
		if err := s.PutRoot(ctx, r); err == nil {
			t.Errorf("put %+v: got no error", r)
		}
	}
	if err := s.DeleteRoot(ctx, "z"); err != nil {
		t.Error(err)
	}
	if err := s.DeleteRoot(ctx, "z"); !errors.Is(err, cas.ErrNotFound) {
		t.Errorf("delete twice: got %v", err)
	}
	got, err := Collect(s.Roots())
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b cid.CID) bool { return a == b })); diff != "" || err != nil {
		t.Errorf("roots (-want +got): %v\n%s", err, diff)
	}
}

func testRefs(t *testing.T, s Store) {
	var ids []pir.PID
	for i := range 8 {
		p, _ := PID(i)
		ids = append(ids, p)
	}
	long := strings.Repeat("a", 3000)
	across := strings.Repeat(".", 1<<20-20) + ids[3].String() + strings.Repeat("x", 100)
	c := mustImport(t, s, fstest.MapFS{
		"start":  {Data: []byte(ids[0].String())},
		"run":    {Data: []byte(long + ids[1].String() + long)},
		"link":   {Data: []byte("../" + ids[2].String() + "/bin"), Mode: fs.ModeSymlink},
		"across": {Data: []byte(across)},
		"cut":    {Data: []byte(ids[4].String()[:51] + "." + ids[4].String()[1:])},
		"upper":  {Data: []byte(strings.ToUpper(ids[5].String()))},
		"two":    {Data: []byte("/" + ids[6].String() + ids[0].String())},
	}, nil)
	got, err := s.ScanRefs(context.Background(), c, ids)
	want := protocol.SortRefs([]pir.PID{ids[0], ids[1], ids[2], ids[3], ids[6]})
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("references (-want +got): %v\n%s", err, diff)
	}
	if got, err := s.ScanRefs(context.Background(), c, nil); len(got) > 0 || err != nil {
		t.Errorf("no candidates: got %v, %v", got, err)
	}
}

func testCancel(t *testing.T, s Store) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Import(ctx, Tree(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("import: got %v", err)
	}
	c, err := cid.HashTree(context.Background(), Tree(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if ok, _ := s.Has(c); ok {
		t.Error("a cancelled import is there")
	}
	if _, err := s.Import(context.Background(), os.DirFS("/nowhere/at/all"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("import of nothing: got %v", err)
	}
}
