package fetch

import (
	"bufio"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/MordragT/nuka/node/swarm/wire"
	"github.com/MordragT/nuka/protocol"
)

const (
	// partsEvery is how often a leecher is asked which leaves it has.
	partsEvery = 200 * time.Millisecond
	// manyLeechers is how many leechers it takes to deprioritise a seeder, if they send sharedLeast of its rate together. Their rate is
	// measured over sharedTime, and until then it is taken to be enough.
	manyLeechers, sharedTime = 3, time.Second
	sharedLeast              = 0.75
	// mostFollowed is the largest number of leechers that are asked which leaves they have. followFrom is how many bytes must be missing
	// for that: a smaller fetch is over before the answers are of use.
	mostFollowed, followFrom = 32, 4 << 20
	// mostNews is how often a leecher may change what it says about one leaf: in flight, missing again a few times, and here.
	mostNews = 16
)

// Told is what the peer at the other end of one stream was told about the leaves of a job. Its zero value is for a new stream.
type Told struct {
	job   *Job
	parts []protocol.Part
}

// Parts returns what has changed about the job's leaves since told, as the answer to AskParts, and updates told.
func (f *Job) Parts(told *Told) (b []byte) {
	if told.job != f {
		*told = Told{job: f}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	q := &f.leaves
	if told.parts == nil && q.leaves != nil {
		told.parts = make([]protocol.Part, len(q.leaves))
	}
	n := 0
	for i, last := range told.parts {
		p := protocol.PartMissing
		switch {
		case q.done[i]:
			p = protocol.PartHere
		case q.inFlight[i] > 0:
			p = protocol.PartComing
		}
		if p != last && n < protocol.MaxParts {
			b = protocol.AppendPart(b, p, q.leaves[i].CID)
			told.parts[i] = p
			n++
		}
	}
	return b
}

// followAll begins to ask providers which leaves they have. f.mu is held.
func (f *Job) followAll(ctx context.Context) {
	if f.leaves.bytes < followFrom {
		return
	}
	for _, p := range f.providers {
		if p.followed || p.bitswap || p.lost || f.following == mostFollowed {
			continue
		}
		p.followed = true
		f.following++
		f.helpers.Go(func() {
			err := f.follow(ctx, p)
			if err != nil && ctx.Err() == nil {
				f.Log.Debug("ask which leaves a peer has", "peer", p.peer, "root", f.root, "error", err)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			f.following--
			if err != nil {
				f.leaves.leechers = slices.DeleteFunc(f.leaves.leechers, func(o *provider) bool { return o == p })
			}
			p.parts = nil // it has all leaves, or what it has is unknown
			if p.w != nil {
				p.w.lacks = nil
			}
			f.cond.Broadcast()
		})
	}
}

// follow asks a provider which leaves it has, again and again as long as it is a leecher. It returns nil at once for a seeder.
func (f *Job) follow(ctx context.Context, p *provider) error {
	st, err := f.Network.Open(ctx, p.peer, protocol.WantProtocol)
	if err != nil {
		return err
	}
	defer st.Reset(0)
	r := bufio.NewReaderSize(st, 4<<10)
	for news := 0; ; {
		if err := st.SetDeadline(time.Now().Add(wire.Slow)); err != nil {
			return err
		}
		if err := protocol.WriteAsk(st, protocol.AskParts, [][]byte{f.root.Bytes()}); err != nil {
			return err
		}
		e, b, err := protocol.ReadAnswer(r, nil, protocol.MaxBlock)
		if err != nil || e != protocol.Plain {
			return err
		}
		p.peer.AddReceived(len(b))
		leaves, parts, err := protocol.Parts(b)
		if err != nil {
			return err
		}
		if !f.learn(p, leaves, parts) {
			return nil
		}
		if news += len(leaves); news > mostNews*len(f.leaves.leaves) { // fetchLeaves does not change them any more
			return errors.New("it has more news than a tree can have")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(partsEvery):
		}
	}
}

// learn records what a leecher has said about its leaves, and reports whether to ask it again.
func (f *Job) learn(p *provider, leaves []protocol.PartKey, parts []protocol.Part) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := &f.leaves
	if q.index == nil {
		q.index = make(map[protocol.PartKey]int32, len(q.leaves))
		for i, l := range q.leaves {
			q.index[protocol.PartKeyOf(l.CID)] = int32(i)
		}
	}
	if p.parts == nil {
		p.parts = make([]protocol.Part, len(q.leaves))
		q.leechers = append(q.leechers, p)
	}
	for i, key := range leaves {
		leaf, wanted := q.index[key]
		if !wanted {
			continue
		}
		p.parts[leaf] = parts[i]
		if parts[i] == protocol.PartHere && p.w != nil {
			delete(p.w.lacks, leaf)
		}
	}
	f.cond.Broadcast()
	return !p.lost
}

// without reports whether the provider does not have a leaf, as far as is known.
func (w *worker) without(leaf int32) bool {
	return w.lacks[leaf] || w.p.parts != nil && (w.p.parts[leaf] == protocol.PartMissing || w.p.parts[leaf] == protocol.PartComing)
}

// swarming reports whether there are enough leechers to deprioritise seeders: a seeder is then asked only for leaves that no leecher has or
// has asked for, so that many nodes that fetch the same tree take each leaf from the origin about once. It also takes that the leechers
// send enough, which depends on their bytes and not on what they say.
func (q *queue) swarming() bool {
	n := 0
	for _, p := range q.leechers {
		if p.active() {
			n++
		}
	}
	return n >= manyLeechers
}

// shared is how many bytes a second the leechers send together; infinite before it was measured.
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

// active reports whether leaves can be expected from the provider.
func (p *provider) active() bool {
	return !p.lost && (p.w == nil || !p.w.late)
}

// elsewhere reports whether a leecher has a leaf, or will have it soon.
func (q *queue) elsewhere(leaf int32) bool {
	for _, p := range q.leechers {
		if p.active() && (p.parts == nil || p.parts[leaf] >= protocol.PartComing) && (p.w == nil || !p.w.lacks[leaf]) {
			return true
		}
	}
	return false
}
