package swarm

import (
	"bufio"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

const (
	// partsEvery is how often a peer that fetches the same tree is asked which leaves it has.
	partsEvery = 200 * time.Millisecond
	// manySharers is of how many such peers one that had all before is spared, if they give sharedLeast of its rate together, which
	// is measured over sharedTime and believed before.
	manySharers, sharedTime = 3, time.Second
	sharedLeast             = 0.75
	// mostFollowed is how many peers are asked which leaves they have, and followFrom how many bytes must be missing: what is
	// less is over before it is of use.
	mostFollowed, followFrom = 32, 4 << 20
	// mostNews is how much news of each leaf a peer may have: it comes, may be given back some times, and is here.
	mostNews = 16
)

// giveParts tells what has become of the leaves of a tree that is being fetched here since that was asked on this stream before.
func (g *giver) giveParts(ctx context.Context, list []cid.CID) error {
	if len(list) == 1 {
		if f := g.s.fetchOf(list[0]); f != nil {
			if _, err := g.s.o.System.Block(ctx, list[0], g.to); err == nil {
				if f != g.toldOf {
					g.told, g.toldOf = nil, f
				}
				return g.answer(ctx, protocol.Plain, f.parts(&g.told))
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

// parts returns what has become of each leaf, if that is not what was told.
func (f *fetch) parts(told *[]protocol.Part) (b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := &f.leaves
	if *told == nil && q.leaves != nil {
		*told = make([]protocol.Part, len(q.leaves))
	}
	n := 0
	for i, last := range *told {
		p := protocol.PartMissing
		switch {
		case q.done[i]:
			p = protocol.PartHere
		case q.owners[i] > 0:
			p = protocol.PartComing
		}
		if p != last && n < protocol.MaxParts {
			b = protocol.AppendPart(b, p, q.leaves[i].CID)
			(*told)[i] = p
			n++
		}
	}
	return b
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
	r := bufio.NewReaderSize(st, 4<<10)
	for news := 0; ; {
		if err := st.SetDeadline(time.Now().Add(slowStream)); err != nil {
			return err
		}
		if err := protocol.WriteAsk(st, protocol.AskParts, [][]byte{f.root.Bytes()}); err != nil {
			return err
		}
		e, b, err := protocol.ReadAnswer(r, nil, protocol.MaxBlock)
		if err != nil || e != protocol.Plain {
			return err
		}
		h.m.took(len(b))
		leaves, parts, err := protocol.Parts(b)
		if err != nil {
			return err
		}
		if !f.learn(h, leaves, parts) {
			return nil
		}
		if news += len(leaves); news > mostNews*len(f.leaves.leaves) { // which do not change any more
			return errors.New("it has more news than a tree can have")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(partsEvery):
		}
	}
}

// learn takes what a peer has said, and says whether the peer is still of use.
func (f *fetch) learn(h *holder, leaves []protocol.PartKey, parts []protocol.Part) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := &f.leaves
	if q.index == nil {
		q.index = make(map[protocol.PartKey]int32, len(q.leaves))
		for i, l := range q.leaves {
			q.index[protocol.PartKeyOf(l.CID)] = int32(i)
		}
	}
	if h.parts == nil {
		h.parts = make([]protocol.Part, len(q.leaves))
		q.sharers = append(q.sharers, h)
	}
	for i, key := range leaves {
		leaf, wanted := q.index[key]
		if !wanted {
			continue
		}
		h.parts[leaf] = parts[i]
		if parts[i] == protocol.PartHere && h.w != nil {
			delete(h.w.lacks, leaf)
		}
	}
	f.cond.Broadcast()
	return !h.lost
}

// without says that the peer does not have a leaf, as far as is known.
func (w *worker) without(leaf int32) bool {
	return w.lacks[leaf] || w.h.parts != nil && (w.h.parts[leaf] == protocol.PartMissing || w.h.parts[leaf] == protocol.PartComing)
}

// crowd says that there are enough sharers. Who had all before and is no sharer is *spared* then, if they give enough: it is asked
// only for what none of them has, so that a crowd that fetches the same tree takes each leaf from the first holder about once.
// That depends on what they give, not on what they say.
func (q *queue) crowd() bool {
	n := 0
	for _, h := range q.sharers {
		if h.gives() {
			n++
		}
	}
	return n >= manySharers
}

// shared is how many bytes a second the sharers give together; at first they are believed to give enough.
func (q *queue) shared(now time.Time) float64 {
	if q.sharedSince.IsZero() {
		q.sharedSince, q.sharedRate = now, math.Inf(1)
	}
	if dt := now.Sub(q.sharedSince); dt >= sharedTime {
		q.sharedRate = float64(q.sharedBytes) / dt.Seconds()
		q.sharedSince, q.sharedBytes = now, 0
	}
	return q.sharedRate
}

// gives says that something is expected of the peer.
func (h *holder) gives() bool {
	return !h.lost && (h.w == nil || !h.w.late)
}

// elsewhere says that a sharer has a leaf, or will have it soon.
func (q *queue) elsewhere(leaf int32) bool {
	for _, h := range q.sharers {
		if h.gives() && (h.parts == nil || h.parts[leaf] >= protocol.PartComing) && (h.w == nil || !h.w.lacks[leaf]) {
			return true
		}
	}
	return false
}
