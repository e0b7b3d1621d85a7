package cas

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/pir/cid"
)

// ScrubOptions change one pass of Scrub. Nil is all zero.
type ScrubOptions struct {
	// After is the last blob that an earlier pass has read, where this one goes on. Zero: the pass begins with the first blob.
	After cid.CID
	// Rate is how many bytes are read in a second on average; 0: no bound.
	Rate int64
	// Reached is called after each blob, with what the pass has done so far. It must return soon. Nil: no calls.
	Reached func(blob cid.CID, done Scrubbed)
}

// Scrubbed says what a pass of Scrub has read.
type Scrubbed struct {
	Files   int
	Bytes   int64
	Damaged int // files that were set aside
}

// scrubBatch is how many blobs Scrub looks up in the index at once.
const scrubBatch = 256

// Scrub compares blobs with their hashes in the order of the index, also those that were compared before, and sets damaged ones aside.
// Unlike Verify it compares neither blobs with other records nor those with one another.
func (s *Store) Scrub(ctx context.Context, o *ScrubOptions) (Scrubbed, error) {
	if o == nil {
		o = &ScrubOptions{}
	}
	p := &scrubbing{s: s, o: o, ctx: ctx, began: time.Now()}
	for from := index.Blobs.Key(); from != nil; {
		var err error
		if !o.After.IsZero() && p.done.Files == 0 {
			from = append(index.BlobKey(o.After), 0)
		}
		if from, err = p.batch(from); err != nil {
			return p.done, fmt.Errorf("scrub: %w", err)
		}
	}
	return p.done, nil
}

// scrubbing is one pass.
type scrubbing struct {
	s     *Store
	o     *ScrubOptions
	ctx   context.Context
	began time.Time
	read  int64
	done  Scrubbed
}

// batch reads the blobs from a key on, and returns the key at which the next batch begins; nil at the end.
func (p *scrubbing) batch(from []byte) (next []byte, err error) {
	if err := p.s.calls.Enter(); err != nil {
		return nil, err
	}
	defer p.s.calls.Leave()
	type sized struct {
		blob cid.CID
		size int64
	}
	var list []sized
	for row, err := range p.s.index.ScanFrom(index.Blobs.Key(), from) {
		if err != nil {
			return nil, err
		}
		blob, err := cid.FromBytes(row.Key[1:])
		if err != nil {
			return nil, err
		}
		size, err := index.DecodeSize(row.Value)
		if err != nil {
			return nil, err
		}
		if list = append(list, sized{blob, size}); len(list) == scrubBatch {
			next = append(index.BlobKey(blob), 0)
			break
		}
	}
	for _, b := range list {
		if err := p.blob(b.blob, b.size); err != nil {
			return nil, err
		}
	}
	return next, nil
}

func (p *scrubbing) blob(blob cid.CID, size int64) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	whole, err := p.s.dir.IsWholeSlowly(blob, p.pace)
	if p.ctx.Err() != nil {
		return p.ctx.Err()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !whole {
		err := p.s.blocks.Rehash(blob, size)
		switch {
		case errors.Is(err, ErrDamaged):
			if _, e := p.s.blocks.BlobSize(blob); errors.Is(e, ErrDamaged) {
				p.done.Damaged++
			} // else it was removed meanwhile
		case err != nil:
			return err
		}
	}
	p.done.Files++
	p.done.Bytes += size
	if p.o.Reached != nil {
		p.o.Reached(blob, p.done)
	}
	return nil
}

// pace waits until the rate allows n more bytes.
func (p *scrubbing) pace(n int) error {
	p.read += int64(n)
	if p.o.Rate <= 0 {
		return p.ctx.Err()
	}
	due := p.began.Add(time.Duration(float64(p.read) / float64(p.o.Rate) * float64(time.Second)))
	wait := time.NewTimer(time.Until(due))
	defer wait.Stop()
	select {
	case <-p.ctx.Done():
		return p.ctx.Err()
	case <-wait.C:
		return nil
	}
}
