package cas_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/pir/cid"
)

// Random bits flip on the disk: a read returns the right bytes or says that the file is damaged, whole files and blocks alike, and importing the
// same content again heals it.
func TestFlips(t *testing.T) {
	flips := 60
	if os.Getenv("NUKA_LONG") != "" {
		flips = 500
	}
	s := castest.Open(t, t.TempDir(), nil)
	r := rand.New(rand.NewPCG(1, 2))
	tree := fstest.MapFS{"large": {Data: make([]byte, 2*cid.LeafSize+77), Mode: 0o644}, "exec": {Data: make([]byte, cid.LeafSize+5), Mode: 0o755}}
	for i := range 20 {
		tree[fmt.Sprint("small/", i)] = &fstest.MapFile{Data: make([]byte, 1+r.IntN(5000)), Mode: 0o644}
	}
	var names []string
	for name, f := range tree {
		names = append(names, name)
		for i := range f.Data {
			f.Data[i] = byte(r.Uint32())
		}
	}
	root, err := s.Import(t.Context(), tree, nil)
	must(t, err)
	found := 0
	for range flips {
		name := names[r.IntN(len(names))]
		want := tree[name].Data
		e, err := s.Lookup(t.Context(), root, name)
		must(t, err)
		path, err := s.BlobPath(e.CID)
		must(t, err)
		flipAt(t, path, r.Int64N(int64(len(want))))
		f, err := s.OpenFile(t.Context(), e.CID)
		if err == nil {
			got, e := io.ReadAll(f)
			must(t, errors.Join(e, f.Close()))
			if !bytes.Equal(got, want) {
				t.Fatalf("%s: wrong bytes", name)
			}
			t.Errorf("%s: the flip was not seen", name)
			continue
		}
		if !errors.Is(err, cas.ErrDamaged) {
			t.Fatalf("%s: got %v", name, err)
		}
		if b, err := s.Block(t.Context(), cid.Sum(cid.Raw, want[:min(len(want), cid.LeafSize)])); err == nil && !bytes.Equal(b, want[:min(len(want), cid.LeafSize)]) {
			t.Fatalf("%s: wrong bytes in a block", name)
		}
		found++
		again, err := s.Import(t.Context(), tree, nil)
		if must(t, err); again != root {
			t.Fatalf("got %s, want %s", again, root)
		}
		f, err = s.OpenFile(t.Context(), e.CID)
		must(t, err)
		got, err := io.ReadAll(f)
		must(t, errors.Join(err, f.Close()))
		if !bytes.Equal(got, want) {
			t.Fatalf("%s: not healed", name)
		}
	}
	castest.Check(t, s)
	t.Logf("%d flips, %d found and healed", flips, found)
}

// The index is lost: after the rebuild the roots keep what they kept, last uses count, and an event says how long the rebuild took.
func TestLostIndexKeepsRoots(t *testing.T) {
	dir := t.TempDir()
	s := castest.Open(t, dir, nil)
	rooted, rootedTree := bindNumber(t, s, 1)
	used, usedTree := bindNumber(t, s, 2)
	_, old := bindNumber(t, s, 3)
	now := time.Now()
	must(t, s.PutRoot(t.Context(), cas.Root{Name: "profile/default/1", CID: rootedTree, PID: rooted}))
	must(t, s.Use(t.Context(), now, used))
	must(t, s.Close())
	must(t, os.RemoveAll(filepath.Join(dir, "index")))
	var took time.Duration
	s = castest.Open(t, dir, &cas.Options{Event: func(e cas.Event) {
		if r, ok := e.(cas.Rebuilding); ok && r.Done {
			took = r.Elapsed
		}
	}})
	if took <= 0 {
		t.Error("nothing says how long the rebuild took")
	}
	_, err := s.Collect(t.Context(), &cas.CollectOptions{Recent: now.Add(-48 * time.Hour)})
	must(t, err)
	isKept(t, s, rooted, rootedTree)
	isKept(t, s, used, usedTree)
	if ok, err := s.Has(old); ok || err != nil {
		t.Errorf("what nothing keeps: got %v, %v", ok, err)
	}
	roots, err := castest.Collect(s.Roots())
	if must(t, err); len(roots) != 1 || roots[0].Name != "profile/default/1" || roots[0].PID != rooted {
		t.Errorf("got %v", roots)
	}
	castest.Check(t, s)
}
