package fetch

import (
	"bufio"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/node/swarm/wire"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A batch is the bytes of some leaves, one after the other.
type batch struct {
	buf   []byte
	items []item
}

// An item is one leaf of a batch.
type item struct {
	leaf       int32
	begin, end int
	missing    bool // the provider does not have it
}

// Batches are reused, so that a fetch makes next to no garbage.
var batches = sync.Pool{New: func() any { return &batch{buf: make([]byte, 0, batchSize)} }}

func newBatch() *batch { return batches.Get().(*batch) }

func (b *batch) free() {
	b.buf, b.items = b.buf[:0], b.items[:0]
	batches.Put(b)
}

// fits reports whether a leaf has room. An empty batch takes any.
func (b *batch) fits(leaf cid.Leaf) bool {
	return len(b.items) == 0 || len(b.buf)+int(leaf.Size) <= cap(b.buf) && len(b.items) < protocol.MaxAsked
}

// read reads the answer for one leaf. Frame is room for compressed bytes; it is returned and may have grown.
// An answer of another length than the leaf's is an error before it is read.
func (b *batch) read(z *wire.Codec, r *bufio.Reader, i int32, leaf cid.Leaf, frame []byte) ([]byte, error) {
	size := int(leaf.Size)
	most := size
	if size == 0 {
		most = cid.LeafSize // of a root that is a leaf
	}
	begin := len(b.buf)
	if cap(b.buf)-begin < most {
		b.buf = append(make([]byte, 0, begin+most), b.buf...)
	}
	e, data, err := protocol.ReadAnswer(r, b.buf[begin:begin:begin+most], most)
	if err != nil {
		return frame, err
	}
	switch e {
	case protocol.Missing:
		b.items = append(b.items, item{leaf: i, missing: true})
		return frame, nil
	case protocol.Zstd:
		if size == 0 {
			return frame, fmt.Errorf("leaf %s: compressed without being asked to: %w", leaf.CID, routing.ErrLied)
		}
		frame = append(frame[:0], data...)
		if err := z.Decompress(frame, b.buf[begin:begin+size]); err != nil {
			return frame, fmt.Errorf("leaf %s: %w: %w", leaf.CID, err, routing.ErrLied)
		}
		data = b.buf[begin : begin+size]
	case protocol.End:
		return frame, fmt.Errorf("leaf %s: an end in its place: %w", leaf.CID, routing.ErrLied)
	}
	if size > 0 && len(data) != size {
		return frame, fmt.Errorf("leaf %s: %d bytes, want %d: %w", leaf.CID, len(data), size, routing.ErrLied)
	}
	b.buf = b.buf[:begin+len(data)]
	b.items = append(b.items, item{leaf: i, begin: begin, end: begin + len(data)})
	return frame, nil
}

// compare compares the last leaf of a batch with its hash. A wrong one is marked as missing.
func (w *worker) compare(b *batch) error {
	it := &b.items[len(b.items)-1]
	leaf := w.f.leaves.leaves[it.leaf]
	if it.missing || cid.Sum(cid.Raw, b.buf[it.begin:it.end]) == leaf.CID {
		return nil
	}
	it.missing = true
	return fmt.Errorf("leaf %s: %w", leaf.CID, errWrong)
}

// put gives the leaves of a batch to the receiver, several small ones at a time, and records them.
func (w *worker) put(b *batch) {
	f := w.f
	if err := w.putLeaves(b); err != nil {
		f.fail(fmt.Errorf("fetch %s: %w", f.root, err))
		return
	}
	now := time.Now()
	f.mu.Lock()
	gained := false
	for i := range b.items {
		if len(w.pending) > 0 {
			gained = f.leaves.arrived(w, !b.items[i].missing, now) || gained
		}
	}
	if gained {
		f.gained()
	}
	f.cond.Broadcast()
	f.mu.Unlock()
	if gained {
		w.p.peer.WasUseful()
		f.report(false)
	}
}

// putLeaves gives the leaves of a batch to the receiver.
func (w *worker) putLeaves(b *batch) error {
	f := w.f
	var next atomic.Int32
	some := func() error {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(b.items) {
				return nil
			}
			it := &b.items[i]
			f.mu.Lock()
			done := f.leaves.done[it.leaf]
			f.mu.Unlock()
			if it.missing || done {
				continue
			}
			if err := put(f.r, cid.Block{CID: f.leaves.leaves[it.leaf].CID, Data: b.buf[it.begin:it.end]}); err != nil {
				return err
			}
		}
	}
	var puts errgroup.Group
	for range min(putAtOnce, len(b.items)) - 1 {
		puts.Go(some)
	}
	err := some()
	return errors.Join(err, puts.Wait())
}
