package cas_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/cas/receive"
	"github.com/MordragT/nuka/pir/cid"
)

// staleRecord returns a store in whose folder of a tree a blob is recorded as placed, although another import has committed the blob since
// and a collection has removed it: the record is old. Before the collection removes the file, and at each later step, at is called.
func staleRecord(t *testing.T, at func(s *cas.Store, root cid.CID, step disk.Step)) (s *cas.Store, p peer, other fstest.MapFS) {
	t.Helper()
	other = fstest.MapFS{"file": {Data: []byte("in two trees"), Mode: 0o644}}
	p = newPeer(t, fstest.MapFS{"same": other["file"], "more": {Data: []byte("in one"), Mode: 0o644}})
	var ready atomic.Bool
	s = castest.Open(t, t.TempDir(), &cas.Options{Workers: 1, Failpoint: func(step disk.Step, _ string) error {
		if ready.CompareAndSwap(true, false) { // at may take steps
			at(s, p.root, step)
			ready.Store(true)
		}
		return nil
	}})
	r, err := s.Receive(t.Context(), p.root, nil)
	must(t, err)
	for want := r.WantNodes(); len(want) > 0; want = r.WantNodes() {
		for _, c := range want {
			must(t, r.Put(p.block(t, c)))
		}
	}
	for _, l := range r.WantLeaves() {
		if b := p.block(t, l.CID); string(b.Data) == "in two trees" {
			must(t, r.Put(b))
		}
	}
	must(t, r.Close())
	_, err = s.Import(t.Context(), other, nil)
	must(t, err)
	ready.Store(true)
	_, err = s.Collect(t.Context(), nil)
	must(t, err)
	return s, p, other
}

// A tree is received while a collection removes a file that the tree's folder says it has made.
func TestReceiveWhileCollected(t *testing.T) {
	var r *receive.Receiving
	s, p, _ := staleRecord(t, func(s *cas.Store, root cid.CID, step disk.Step) {
		if step == disk.StepRemove && r == nil {
			var err error
			r, err = s.Receive(t.Context(), root, nil)
			must(t, err)
		}
	})
	if r == nil {
		t.Fatal("the collection has removed nothing")
	}
	if n := p.rest(t, r); n != 2 {
		t.Errorf("got %d leaves wanted, want both", n)
	}
	must(t, r.Finish(t.Context()))
	castest.CheckTree(t, castest.OnDisk{Store: s}, p.root, p.tree)
	castest.Check(t, s)
}

// What a folder says it has made is not removed while an import makes it anew.
func TestDiscardWhileImported(t *testing.T) {
	discarded, importing := false, false
	s, _, other := staleRecord(t, func(s *cas.Store, root cid.CID, step disk.Step) {
		if importing && step == disk.StepWrite && !discarded {
			discarded = true
			r, err := s.Receive(t.Context(), root, nil)
			must(t, errors.Join(err, r.Discard()))
		}
	})
	importing = true
	c, err := s.Import(t.Context(), other, nil)
	must(t, err)
	if !discarded {
		t.Fatal("nothing was discarded")
	}
	castest.CheckTree(t, castest.OnDisk{Store: s}, c, other)
	castest.Check(t, s)
}
