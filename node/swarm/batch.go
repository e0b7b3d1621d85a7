package swarm

import (
	"bufio"
	"fmt"
	"sync"

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
	missing    bool // the peer does not have it
}

// Batches are used again: a fetch makes next to no garbage.
var batches = sync.Pool{New: func() any { return &batch{buf: make([]byte, 0, batchSize)} }}

func newBatch() *batch { return batches.Get().(*batch) }

func (b *batch) free() {
	b.buf, b.items = b.buf[:0], b.items[:0]
	batches.Put(b)
}

// fits says whether a leaf has room. An empty batch takes any.
func (b *batch) fits(leaf cid.Leaf) bool {
	return len(b.items) == 0 || len(b.buf)+int(leaf.Size) <= cap(b.buf) && len(b.items) < protocol.MaxAsked
}

// read reads the answer for one leaf. Frame is room for compressed bytes; it is returned, and may have grown.
// An answer of another length than the leaf's is an error before it is read.
func (b *batch) read(z *codec, r *bufio.Reader, i int32, leaf cid.Leaf, frame []byte) ([]byte, error) {
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
			return frame, fmt.Errorf("leaf %s: compressed unasked: %w", leaf.CID, errLied)
		}
		frame = append(frame[:0], data...)
		if err := z.decompress(frame, b.buf[begin:begin+size]); err != nil {
			return frame, fmt.Errorf("leaf %s: %w: %w", leaf.CID, err, errLied)
		}
		data = b.buf[begin : begin+size]
	case protocol.End:
		return frame, fmt.Errorf("leaf %s: an end in its place: %w", leaf.CID, errLied)
	}
	if size > 0 && len(data) != size {
		return frame, fmt.Errorf("leaf %s: %d bytes, want %d: %w", leaf.CID, len(data), size, errLied)
	}
	b.buf = b.buf[:begin+len(data)]
	b.items = append(b.items, item{leaf: i, begin: begin, end: begin + len(data)})
	return frame, nil
}
