package cas_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/cas/receive"
	"github.com/MordragT/nuka/pir/cid"
)

// lockTrees are trees with files in common, so that calls about different trees meet at the same blobs.
func lockTrees() []fstest.MapFS {
	large := make([]byte, 2<<20+5)
	rand.NewChaCha8([32]byte{9}).Read(large) //nolint:errcheck // never fails
	var trees []fstest.MapFS
	for i := range 4 {
		tree := fstest.MapFS{"large": {Data: large}, "own": {Data: fmt.Append(nil, "own ", i)}}
		for n := i; n < i+8; n++ {
			tree[fmt.Sprintf("small/%d", n)] = &fstest.MapFile{Data: fmt.Append(nil, "small ", n)}
		}
		trees = append(trees, tree)
	}
	return trees
}

// Calls that take every lock of the store, with blobs that are damaged meanwhile, all end, and the store heals.
func TestLockHammer(t *testing.T) {
	ctx := context.Background()
	rounds := 60
	if testing.Short() {
		rounds = 15
	}
	dir := t.TempDir()
	s := castest.Open(t, dir, &cas.Options{Index: index.Options{JournalSlack: 10_000}})
	trees := lockTrees()
	var peers []peer
	for _, tree := range trees {
		peers = append(peers, newPeer(t, tree))
	}
	expected := func(what string, err error, may ...error) {
		for _, e := range may {
			if errors.Is(err, e) {
				return
			}
		}
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	var files sync.RWMutex // read-locked while calls make files, which the test must not remove under them
	calls := []func(r *rand.Rand, p peer){
		func(_ *rand.Rand, p peer) {
			files.RLock()
			defer files.RUnlock()
			_, err := s.Import(ctx, p.tree, nil)
			expected("import", err)
		},
		func(r *rand.Rand, p peer) {
			files.RLock()
			defer files.RUnlock()
			expected("receive", castest.Receive(s, p.s, p.root, r), receive.ErrReceiving)
		},
		func(r *rand.Rand, p peer) {
			files.RLock()
			defer files.RUnlock()
			in, err := s.Receive(ctx, p.root, nil)
			if expected("begin to receive", err, receive.ErrReceiving); err != nil {
				return
			}
			_, err = castest.Feed(in, p.s, r, r.IntN(12))
			expected("feed", err)
			expected("discard", in.Discard())
		},
		func(r *rand.Rand, p peer) { // removes a blob behind the store's back, and has the store set it aside
			e, err := s.Lookup(ctx, p.root, fmt.Sprintf("small/%d", r.IntN(12)))
			if expected("lookup", err, cas.ErrNotFound); err != nil {
				return
			}
			files.Lock()
			path, err := s.BlobPath(e.CID)
			if err == nil {
				err = os.Remove(path)
			}
			files.Unlock()
			expected("remove", err, cas.ErrNotFound, cas.ErrDamaged)
			f, err := s.OpenFile(ctx, e.CID)
			if expected("open", err, cas.ErrNotFound, cas.ErrDamaged); err == nil {
				f.Close() //nolint:errcheck // it was only read
			}
		},
		func(*rand.Rand, peer) { expected("verify", s.Verify(ctx, func(cas.Problem) {})) },
		func(_ *rand.Rand, p peer) {
			expected("walk", s.Walk(ctx, p.root, func(c cid.CID) error {
				_, err := s.Block(ctx, c)
				expected("block", err, cas.ErrNotFound, cas.ErrDamaged)
				return nil
			}), cas.ErrNotFound)
		},
		func(r *rand.Rand, p peer) {
			id := numbered(r.IntN(3))
			expected("bind", s.Bind(ctx, signed(t, id, p.root, time.Now())), cas.ErrNotFound)
			expected("unbind", s.Unbind(ctx, id), cas.ErrNotFound)
		},
	}
	var wg sync.WaitGroup
	for n := range 8 {
		r := rand.New(rand.NewPCG(uint64(n), 5))
		wg.Go(func() {
			for range rounds {
				calls[r.IntN(len(calls))](r, peers[r.IntN(len(peers))])
			}
		})
	}
	ended := make(chan struct{})
	go func() { defer close(ended); wg.Wait() }()
	select {
	case <-ended:
	case <-time.After(3 * time.Minute):
		panic("the calls do not end") // shows where each goroutine waits
	}
	expected("verify", s.Verify(ctx, func(cas.Problem) {})) // sets aside what is damaged
	for _, p := range peers {
		_, err := s.Import(ctx, p.tree, nil)
		must(t, err)
		castest.CheckTree(t, castest.OnDisk{Store: s}, p.root, p.tree)
	}
	castest.Check(t, s)
	if _, err := os.Lstat(filepath.Join(dir, "index.damaged")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("while calls changed records, Verify took the index for damaged (%v)", err)
	}
}
