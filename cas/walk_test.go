package cas_test

import (
	"bytes"
	"errors"
	"testing"
	"testing/fstest"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir/cid"
)

func TestWalk(t *testing.T) {
	s, err := cas.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()                                             //nolint:errcheck // nothing was left to write
	large := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16) // three equal leaves
	root, err := s.Import(t.Context(), fstest.MapFS{"a/b": {Data: []byte("b")}, "a/c": {Data: []byte("b")}, "d": {Data: large}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[uint64]int{}
	seen := map[cid.CID]bool{}
	err = s.Walk(t.Context(), root, func(c cid.CID) error {
		if seen[c] {
			t.Errorf("%s comes twice", c)
		}
		seen[c] = true
		kinds[c.Codec()]++
		b, err := s.Block(t.Context(), c)
		if size, e := s.Size(c); err != nil || e != nil || size != int64(len(b)) {
			t.Errorf("%s: got size %d, want %d (%v, %v)", c, size, len(b), e, err)
		}
		return nil
	})
	// The root, a and the node of d; the leaf of b and c, and that of d.
	if err != nil || kinds[cid.DagPB] != 3 || kinds[cid.Raw] != 2 {
		t.Errorf("got %v, %v", kinds, err)
	}
	var nodes []cid.Block
	for b, err := range s.Nodes(t.Context(), root) {
		if err != nil || cid.Sum(cid.DagPB, b.Data) != b.CID {
			t.Errorf("%s: %v", b.CID, err)
		}
		nodes = append(nodes, b)
	}
	if len(nodes) != 3 || nodes[0].CID != root {
		t.Errorf("got %d nodes", len(nodes))
	}
	for _, c := range []cid.CID{cid.Sum(cid.DagPB, nil), cid.Sum(cid.Raw, large)} {
		if _, err := s.Size(c); !errors.Is(err, cas.ErrNotFound) {
			t.Errorf("size of %s: got %v", c, err)
		}
	}
	if err := s.Walk(t.Context(), cid.Sum(cid.DagPB, nil), func(cid.CID) error { return nil }); !errors.Is(err, cas.ErrNotFound) {
		t.Errorf("absent: got %v", err)
	}
	stop := errors.New("enough")
	if err := s.Walk(t.Context(), root, func(cid.CID) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want what fn returned", err)
	}
}
