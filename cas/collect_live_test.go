package cas_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/fstest"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// isKept fails the test unless a package has its content and its description.
func isKept(t *testing.T, s *cas.Store, p pir.PID, c cid.CID) {
	t.Helper()
	if got, err := s.CID(p); err != nil || got != c {
		t.Errorf("%s: got %v, %v, want %s", p.Short(), got, err, c)
	}
	if ok, err := s.Has(c); !ok || err != nil {
		t.Errorf("%s: its content: got %v, %v", p.Short(), ok, err)
	}
	if _, _, err := s.PIR(p); err != nil {
		t.Errorf("%s: its description: %v", p.Short(), err)
	}
}

// A collection has found what is live, and then a dead tree is bound, with a reference to a dead package, or gets a root: both stay. When the
// collection has removed the tree, neither is possible any more.
func TestCollectWhileBound(t *testing.T) {
	for name, keep := range map[string]func(ctx context.Context, s *cas.Store, p pir.PID, c cid.CID, ref pir.PID) error{
		"bind": func(ctx context.Context, s *cas.Store, p pir.PID, c cid.CID, ref pir.PID) error {
			return s.Bind(ctx, castest.Attest(2, p, c, ref))
		},
		"root": func(ctx context.Context, s *cas.Store, p pir.PID, c cid.CID, _ pir.PID) error {
			return s.PutRoot(ctx, cas.Root{Name: "r", CID: c, PID: p})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := castest.Open(t, t.TempDir(), nil)
			ref, refTree := bindNumber(t, s, 1)
			p, c := bindNumber(t, s, 2, ref)
			gone, goneTree := bindNumber(t, s, 3)
			calls, refused := 0, false
			_, err := s.Collect(t.Context(), &cas.CollectOptions{Progress: func(cas.Collected) {
				if calls++; calls == 1 {
					must(t, keep(t.Context(), s, p, c, ref))
				}
				if ok, err := s.Has(goneTree); err == nil && !ok && !refused {
					refused = true
					if err := keep(t.Context(), s, gone, goneTree, ref); !errors.Is(err, cas.ErrNotFound) {
						t.Errorf("of a tree that is gone: got %v", err)
					}
				}
			}})
			must(t, err)
			if !refused {
				t.Error("the test did not see the tree go")
			}
			isKept(t, s, p, c)
			isKept(t, s, ref, refTree)
			castest.Check(t, s)
			_, err = s.Collect(t.Context(), nil) // a binding does not keep by itself, a root does
			must(t, err)
			if name == "root" {
				isKept(t, s, p, c)
				isKept(t, s, ref, refTree)
			}
		})
	}
}

// A root keeps the packages to which its package refers, and those to which they refer.
func TestCollectReferences(t *testing.T) {
	s := castest.Open(t, t.TempDir(), nil)
	far, farTree := bindNumber(t, s, 1)
	near, nearTree := bindNumber(t, s, 2, far)
	p, c := bindNumber(t, s, 3, near)
	_, other := bindNumber(t, s, 4, p) // refers to the others, and nothing keeps it
	must(t, s.PutRoot(t.Context(), cas.Root{Name: "r", CID: c, PID: p}))
	_, err := s.Collect(t.Context(), nil)
	must(t, err)
	isKept(t, s, far, farTree)
	isKept(t, s, near, nearTree)
	isKept(t, s, p, c)
	if ok, err := s.Has(other); ok || err != nil {
		t.Errorf("a tree without root: got %v, %v", ok, err)
	}
	must(t, s.DeleteRoot(t.Context(), "r"))
	_, err = s.Collect(t.Context(), nil)
	must(t, err)
	if st, err := s.Stats(t.Context()); err != nil || st.Files != 0 || st.PIRs != 0 {
		t.Errorf("got %+v, %v", st, err)
	}
	castest.Check(t, s)
}

// A package whose content is a part of a live tree is live too, with its description and its references.
func TestCollectParts(t *testing.T) {
	for _, part := range []string{"dir", "dir/small", "dir/large"} {
		t.Run(part, func(t *testing.T) {
			s := castest.Open(t, t.TempDir(), nil)
			whole, err := s.Import(t.Context(), fstest.MapFS{
				"dir/small": {Data: []byte("small"), Mode: 0o644}, "dir/large": {Data: make([]byte, cid.LeafSize+1), Mode: 0o644},
			}, nil)
			must(t, err)
			must(t, s.PutRoot(t.Context(), cas.Root{Name: "r", CID: whole}))
			e, err := s.Lookup(t.Context(), whole, part)
			must(t, err)
			ref, refTree := bindNumber(t, s, 1)
			p, b := castest.PID(2)
			must(t, s.PutPIR(t.Context(), p, b, nil))
			must(t, s.Bind(t.Context(), castest.Attest(1, p, e.CID, ref)))
			_, err = s.Collect(t.Context(), nil)
			must(t, err)
			isKept(t, s, p, e.CID)
			isKept(t, s, ref, refTree)
			castest.Check(t, s)
		})
	}
}

// A live file and a dead one have a leaf in common, whose record names one of them: the dead one goes, and the leaf stays readable.
func TestCollectSharedLeaf(t *testing.T) {
	same := bytes.Repeat([]byte("same"), cid.LeafSize/4)
	for _, first := range []string{"live", "dead"} {
		dir := t.TempDir()
		s := castest.Open(t, dir, nil)
		second := map[string]string{"live": "dead", "dead": "live"}[first]
		for _, name := range []string{first, second} {
			c, err := s.Import(t.Context(), fstest.MapFS{name: {Data: append(bytes.Clone(same), name...)}}, nil)
			must(t, err)
			if name == "live" {
				must(t, s.PutRoot(t.Context(), cas.Root{Name: "r", CID: c}))
			}
		}
		got, err := s.Collect(t.Context(), nil)
		if must(t, err); got.Blobs != 1 || blobsOnDisk(t, dir) != 1 {
			t.Errorf("%s first: got %+v, and %d blobs stay", first, got, blobsOnDisk(t, dir))
		}
		b, err := s.Block(t.Context(), cid.Sum(cid.Raw, same))
		if err != nil || !bytes.Equal(b, same) {
			t.Errorf("%s first: the leaf: got %d bytes, %v", first, len(b), err)
		}
		castest.Check(t, s)
	}
}
