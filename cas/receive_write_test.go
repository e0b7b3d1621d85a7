package cas_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/cas/receive"
	"github.com/MordragT/nuka/pir/cid"
)

// If a small file cannot be written, its Receiving removes the file, but not one by which an import has replaced it meanwhile.
func TestReceiveFailsWhileImported(t *testing.T) {
	ctx := context.Background()
	tree := fstest.MapFS{"file": {Data: []byte("content")}}
	p := newPeer(t, tree)
	boom := errors.New("boom")
	for _, imported := range []bool{false, true} {
		var s *cas.Store
		var armed atomic.Bool
		s = castest.Open(t, t.TempDir(), &cas.Options{Failpoint: func(step disk.Step, path string) error {
			if step != disk.StepWrite || !strings.Contains(path, "/blobs/") || !armed.CompareAndSwap(true, false) {
				return nil
			}
			if imported {
				if _, err := s.Import(ctx, tree, nil); err != nil {
					t.Error(err)
				}
			}
			return boom
		}})
		r, err := s.Receive(ctx, p.root, nil)
		must(t, err)
		must(t, r.Put(p.block(t, p.root)))
		leaf := r.WantLeaves()[0].CID
		armed.Store(true)
		if err := r.Put(p.block(t, leaf)); !errors.Is(err, boom) {
			t.Fatalf("put: got %v, want %v", err, boom)
		}
		castest.Check(t, s)
		if imported {
			castest.CheckTree(t, castest.OnDisk{Store: s}, p.root, tree)
		}
		must(t, r.Put(p.block(t, leaf)))
		must(t, r.Finish(ctx))
		castest.CheckTree(t, castest.OnDisk{Store: s}, p.root, tree)
		castest.Check(t, s)
	}
}

// Nobody receives a root while the folder of an earlier Receiving of the root is being removed.
func TestReceiveWhileRemoved(t *testing.T) {
	ctx := context.Background()
	p := newPeer(t, fstest.MapFS{"file": {Data: []byte("content")}})
	for name, end := range map[string]func(*receive.Receiving) error{
		"discard": (*receive.Receiving).Discard,
		"finish":  func(r *receive.Receiving) error { return r.Finish(ctx) },
	} {
		var s *cas.Store
		removing := 0
		s = castest.Open(t, t.TempDir(), &cas.Options{Failpoint: func(step disk.Step, path string) error {
			if step != disk.StepRemove || !strings.Contains(path, "/receive/") {
				return nil
			}
			removing++
			if _, err := s.Receive(ctx, p.root, nil); !errors.Is(err, receive.ErrReceiving) {
				t.Errorf("%s: receive while the folder is removed: got %v, want %v", name, err, receive.ErrReceiving)
			}
			return nil
		}})
		r, err := s.Receive(ctx, p.root, nil)
		must(t, err)
		p.feed(t, r, rand.New(rand.NewPCG(1, 1)), 1<<20)
		must(t, end(r))
		if removing != 1 {
			t.Errorf("%s: the folder was removed %d times", name, removing)
		}
		r, err = s.Receive(ctx, p.root, nil)
		must(t, err)
		must(t, r.Close())
	}
}

// A tree has a large file that the store lacks, and a small file that the store has; the small file is also a leaf of the large one. Receiving
// the tree writes the small file neither again nor beside its blob: a power cut could then undo the name of a blob that was durable.
func TestReceiveLeavesDurableBlobs(t *testing.T) {
	ctx := context.Background()
	small := make([]byte, cid.LeafSize)
	copy(small, "a file of one leaf")
	var touched []string
	name := cid.Sum(cid.Raw, small).String()
	s := castest.Open(t, t.TempDir(), &cas.Options{Failpoint: func(step disk.Step, path string) error {
		if strings.Contains(path, name) {
			touched = append(touched, string(step))
		}
		return nil
	}})
	_, err := s.Import(ctx, fstest.MapFS{"small": {Data: small}}, nil)
	must(t, err)
	if len(touched) == 0 {
		t.Fatal("the test does not see the blob")
	}
	touched = nil
	for _, names := range [][2]string{{"1 large", "2 small"}, {"2 large", "1 small"}} { // the order in which the receiver finds them
		tree := fstest.MapFS{names[0]: {Data: append(slices.Clone(small), names[0]...)}, names[1]: {Data: small}}
		p := newPeer(t, tree)
		r, err := s.Receive(ctx, p.root, nil)
		must(t, err)
		p.feed(t, r, rand.New(rand.NewPCG(1, 1)), 1<<20)
		must(t, r.Finish(ctx))
		castest.CheckTree(t, castest.OnDisk{Store: s}, p.root, tree)
	}
	if len(touched) > 0 {
		t.Errorf("a blob that the store has was made again: %q", touched)
	}
	castest.Check(t, s)
}
