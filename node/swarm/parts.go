package swarm

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

const (
	// partsEvery is how often a peer that fetches the same tree is asked which leaves it has.
	partsEvery = 200 * time.Millisecond
	// manySharers is of how many such peers one that had all before is spared, if they give no less than it does together, which
	// is measured over sharedTime and believed before.
	manySharers, sharedTime = 3, time.Second
	// mostDoubts is about how many leaves it is asked: those that are wanted next.
	mostDoubts = protocol.MaxAsked - 1
	// mostFollowed is how many peers are asked which leaves they have, and followFrom how many bytes must be missing: what is
	// less is over before it is of use.
	mostFollowed, followFrom = 32, 4 << 20
)

// giveParts says which leaves of a tree that is being fetched here have come, or were asked for.
func (g *giver) giveParts(ctx context.Context, list []cid.CID) error {
	if len(list) > 0 {
		if f := g.s.fetchOf(list[0]); f != nil {
			if _, err := g.s.o.System.Block(ctx, list[0], g.to); err == nil {
				return g.answer(ctx, protocol.Plain, f.parts(list[1:]))
			}
		}
	}
	return g.answer(ctx, protocol.Missing, nil)
}

// fetchOf returns the fetch of a root that is under way, or nil.
func (s *Swarm) fetchOf(root cid.CID) *fetch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetching[root]
}

// parts says for each leaf what has become of it.
func (f *fetch) parts(list []cid.CID) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	q, all := &f.leaves, make([]byte, len(list))
	if q.leaves == nil {
		return all // its nodes are coming
	}
	if q.index == nil {
		q.index = make(map[cid.CID]int32, len(q.leaves))
		for i, l := range q.leaves {
			q.index[l.CID] = int32(i)
		}
	}
	for i, c := range list {
		leaf, wanted := q.index[c]
		switch {
		case !wanted || q.done[leaf]:
			all[i] = protocol.PartHere
		case q.owners[leaf] > 0:
			all[i] = protocol.PartComing
		}
	}
	return all
}

// followAll begins to ask holders which leaves they have. f.mu is held.
func (f *fetch) followAll(ctx context.Context) {
	if f.leaves.bytes < followFrom {
		return
	}
	for _, h := range f.holders {
		if h.followed || h.plain || h.lost || f.following == mostFollowed {
			continue
		}
		h.followed = true
		f.following++
		f.helpers.Go(func() {
			err := f.follow(ctx, h)
			if err != nil && ctx.Err() == nil {
				f.s.log.Debug("ask which leaves a peer has", "peer", h.m.id, "root", f.root, "error", err)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			f.following--
			if err != nil {
				f.leaves.sharers = slices.DeleteFunc(f.leaves.sharers, func(o *holder) bool { return o == h })
			}
			h.parts = nil // all, or nobody knows
			if h.w != nil {
				h.w.lacks = nil
			}
			f.cond.Broadcast()
		})
	}
}

// follow asks a peer which leaves it has, again and again as long as it does not have all of them.
func (f *fetch) follow(ctx context.Context, h *holder) error {
	st, done, err := f.s.open(ctx, h.m.id, protocol.WantProtocol)
	if err != nil {
		return err
	}
	defer done()
	r := bufio.NewReaderSize(st, 1<<10)
	for {
		leaves, items := f.doubts(h)
		if items == nil {
			return nil
		}
		if err := st.SetDeadline(time.Now().Add(slowStream)); err != nil {
			return err
		}
		if err := protocol.WriteAsk(st, protocol.AskParts, items); err != nil {
			return err
		}
		e, b, err := protocol.ReadAnswer(r, nil, len(leaves))
		if err != nil || e != protocol.Plain {
			return err
		}
		if len(b) != len(leaves) {
			return fmt.Errorf("it said something about %d leaves, and was asked about %d", len(b), len(leaves))
		}
		f.learn(h, leaves, b)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(partsEvery):
		}
	}
}

// doubts returns the leaves that are wanted next, and what is to be asked about them, nil if the peer is of no use any more.
func (f *fetch) doubts(h *holder) (leaves []int32, items [][]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h.lost {
		return nil, nil
	}
	q := &f.leaves
	items = append(items, f.root.Bytes())
	for i := len(q.todo) - 1; i >= 0 && len(leaves) < mostDoubts; i-- {
		if leaf := q.todo[i]; !q.done[leaf] {
			leaves = append(leaves, leaf)
			items = append(items, q.leaves[leaf].CID.Bytes())
		}
	}
	return leaves, items
}

// learn takes what a peer has said.
func (f *fetch) learn(h *holder, leaves []int32, parts []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.leaves.sharers, h) {
		f.leaves.sharers = append(f.leaves.sharers, h)
	}
	h.parts = make(map[int32]byte, len(leaves))
	for i, leaf := range leaves {
		h.parts[leaf] = parts[i]
		if parts[i] == protocol.PartHere && h.w != nil {
			delete(h.w.lacks, leaf)
		}
	}
	f.cond.Broadcast()
}

// without says that the peer does not have a leaf, as far as is known.
func (w *worker) without(leaf int32) bool {
	part, known := w.h.parts[leaf]
	return w.lacks[leaf] || known && part != protocol.PartHere
}

// spared says that the peer, which had all before, is asked only for what no sharer has: so a crowd that fetches the same tree
// takes each leaf from the first holder about once. It depends on what the sharers give, not on what they say.
func (q *queue) spared(w *worker, now time.Time) bool {
	if slices.Contains(q.sharers, w.h) || len(w.lacks) > 0 || w.rate == 0 {
		return false
	}
	n := 0
	for _, h := range q.sharers {
		if h.gives() {
			n++
		}
	}
	if n < manySharers {
		return false
	}
	if q.sharedSince.IsZero() {
		q.sharedSince, q.sharedRate = now, math.Inf(1)
	}
	if dt := now.Sub(q.sharedSince); dt >= sharedTime {
		q.sharedRate = float64(q.sharedBytes) / dt.Seconds()
		q.sharedSince, q.sharedBytes = now, 0
	}
	return q.sharedRate >= w.rate
}

// gives says that something is expected of the peer.
func (h *holder) gives() bool {
	return !h.lost && (h.w == nil || !h.w.late)
}

// elsewhere says that a sharer has a leaf, or will have it soon.
func (q *queue) elsewhere(leaf int32) bool {
	for _, h := range q.sharers {
		if h.gives() && (h.parts == nil || h.parts[leaf] != protocol.PartMissing) && (h.w == nil || !h.w.lacks[leaf]) {
			return true
		}
	}
	return false
}
