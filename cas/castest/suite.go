// Package castest holds shared code for tests of content stores.
//
// TestStore is the conformance suite for every store.
// A Model is a store in memory that is too simple to be wrong, for tests that compare.
// Compare runs the same random operations on a store and on a Model, reopening the store in between.
package castest

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
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
	Compose(ctx context.Context, pieces []cas.Piece, o *cas.ComposeOptions) (cid.CID, error)
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
	ChangeRoots(ctx context.Context, put []cas.Root, remove []string) error
	Roots() iter.Seq2[cas.Root, error]
	DeleteRoot(ctx context.Context, name string) error
	Use(ctx context.Context, at time.Time, pids ...pir.PID) error
	Collect(ctx context.Context, o *cas.CollectOptions) (cas.Collected, error)
	// Hold keeps trees and packages from collection until release is called.
	Hold(cids []cid.CID, pids []pir.PID) (release func())
}

// TestStore checks the contract of a store. newStore returns a new, empty store.
func TestStore(t *testing.T, newStore func(t *testing.T) Store) {
	for name, test := range map[string]func(*testing.T, Store){
		"Tree": testTree, "Wide": testWide, "File": testFile, "Absent": testAbsent, "Names": testNames, "Types": testTypes,
		"Blocks": testBlocks, "PIR": testPIR, "Bind": testBind, "Roots": testRoots, "Refs": testRefs, "Cancel": testCancel,
		"Receive": testReceive, "Give": testGive, "Compose": testCompose,
	} {
		t.Run(name, func(t *testing.T) { test(t, newStore(t)) })
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
	// A signer claims another content: both claims are kept. An older claim of the same content changes nothing.
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
	// Several changes are one step: if one cannot be made, none is.
	x := cas.Root{Name: "x", CID: c}
	if err := s.ChangeRoots(ctx, []cas.Root{x}, []string{"a", "z"}); !errors.Is(err, cas.ErrNotFound) {
		t.Errorf("remove an unknown root: got %v", err)
	}
	if err := s.ChangeRoots(ctx, []cas.Root{x, {Name: "b", CID: cid.Sum(cid.DagPB, nil)}}, []string{"a"}); !errors.Is(err, cas.ErrNotFound) {
		t.Errorf("a root of unknown content: got %v", err)
	}
	for _, step := range []struct {
		put    []cas.Root
		remove []string
	}{{[]cas.Root{x, {Name: "y", CID: c}}, []string{"a"}}, {[]cas.Root{want[0]}, []string{"x", "y"}}} {
		if err := s.ChangeRoots(ctx, step.put, step.remove); err != nil {
			t.Error(err)
		}
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
