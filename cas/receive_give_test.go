package cas_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/cas/receive"
	"github.com/MordragT/nuka/pir/cid"
)

// Others read all blocks, over and over, while a tree comes and ends: until Finish is through a block that has been given
// once is given always, and never with other bytes.
func TestGiveWhileFinishing(t *testing.T) {
	giveWhile(t, true, func(r *receive.Receiving) error { return r.Finish(context.Background()) })
}

// What is discarded while others read it is gone for them, and nothing is left of it.
func TestGiveWhileDiscarding(t *testing.T) { giveWhile(t, false, (*receive.Receiving).Discard) }

func TestGiveWhileClosing(t *testing.T) { giveWhile(t, false, (*receive.Receiving).Close) }

func giveWhile(t *testing.T, stays bool, end func(r *receive.Receiving) error) {
	ctx := context.Background()
	p := newPeer(t, someTree())
	want := map[cid.CID][]byte{}
	var all []cid.CID
	must(t, p.s.Walk(ctx, p.root, func(c cid.CID) error {
		b, err := p.s.Block(ctx, c)
		if want[c] == nil {
			all = append(all, c)
		}
		want[c] = b
		return err
	}))
	dir := t.TempDir()
	s := castest.Open(t, dir, nil)
	r, err := s.Receive(ctx, p.root, nil)
	must(t, err)
	var stop atomic.Bool
	var given [2]atomic.Int64
	var readers sync.WaitGroup
	for i := range 2 {
		readers.Go(func() {
			var buf []byte
			had := map[cid.CID]bool{}
			rnd := rand.New(rand.NewPCG(uint64(i), 5))
			for !stop.Load() {
				c := all[rnd.IntN(len(all))]
				b, err := s.AppendBlock(ctx, c, append(buf[:0], "before"...))
				if err == nil {
					buf = b
				}
				switch {
				case err == nil && (!bytes.HasPrefix(b, []byte("before")) || !bytes.Equal(b[len("before"):], want[c])):
					t.Errorf("block %s has other bytes", c)
				case err == nil:
					had[c] = true
					given[i].Add(1)
				case !errors.Is(err, cas.ErrNotFound):
					t.Errorf("block %s: %v", c, err)
				case stays && had[c]:
					t.Errorf("block %s was given before, and now is not", c)
				}
			}
		})
	}
	p.feed(t, r, rand.New(rand.NewPCG(2, 2)), 1<<20)
	for i := range given {
		for before := given[i].Load(); given[i].Load() < before+50; { // all of them are at it
		}
	}
	must(t, end(r))
	_, err = s.Block(ctx, p.root)
	if stays {
		must(t, err)
		for i := range given {
			for before := given[i].Load(); given[i].Load() < before+200; {
			}
		}
	} else if !errors.Is(err, cas.ErrNotFound) {
		t.Errorf("after the end: got %v, want %v", err, cas.ErrNotFound)
	}
	stop.Store(true)
	readers.Wait()
	if stays {
		castest.CheckTree(t, castest.OnDisk{Store: s}, p.root, p.tree)
		castest.Check(t, s)
		checkNoTemporary(t, dir)
	}
}

// A leaf whose bytes the disk has changed is not given.
func TestGiveFlip(t *testing.T) {
	ctx := context.Background()
	p := newPeer(t, someTree())
	dir := t.TempDir()
	s := castest.Open(t, dir, nil)
	r, err := s.Receive(ctx, p.root, nil)
	must(t, err)
	p.rest(t, r)
	e, err := p.s.Lookup(ctx, p.root, "small/7")
	must(t, err)
	_, err = s.Block(ctx, e.CID)
	must(t, err)
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "*", "*"))
	must(t, err)
	for _, path := range blobs {
		info, err := os.Stat(path)
		if must(t, err); info.Size() > 0 {
			flipAt(t, path, 0)
		}
	}
	if _, err := s.Block(ctx, e.CID); !errors.Is(err, cas.ErrNotFound) {
		t.Errorf("got %v, want %v", err, cas.ErrNotFound)
	}
}
