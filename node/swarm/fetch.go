package swarm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

const (
	// maxWorkers is from how many peers one tree is fetched at a time.
	maxWorkers = 12
	// tick is how often it is looked whether a peer is late.
	tick = 50 * time.Millisecond
	// progressEvery is how often progress is told.
	progressEvery = 100 * time.Millisecond
	// looks is how many times holders are looked for once more when there are none left, without anything gained between.
	looks = 1
	// partWait is when a peer that had a part only is asked again, and partHope how long that goes on when nothing comes.
	partWait, partHope = 200 * time.Millisecond, 5 * time.Second
	// firstLook and lastLook are how long it is, from the begin on twice as long each time, until those that did not have the
	// tree are asked again: they may be fetching it as well.
	firstLook, lastLook = 250 * time.Millisecond, 16 * time.Second
	// paceEvery and paceBytes: a fetch to which all peers together bring less in that time is over, however many of them say that
	// they have the tree. What is fetched so slowly is built sooner.
	paceEvery, paceBytes = 2 * time.Minute, 128 << 10
)

// A fetch brings one tree.
type fetch struct {
	s        *Swarm
	root     cid.CID
	size     int64
	r        Receiver
	progress func(done, total int64)
	helpers  sync.WaitGroup // what looks for holders
	over     chan struct{}  // is closed when it is

	mu   sync.Mutex
	cond sync.Cond
	err  error // why it ends before its time
	// holders are the peers that have said that they have it, in the order in which they did.
	holders []*holder
	known   map[peer.ID]*holder
	looking int // how many look for holders
	looked  int // how many times since something was gained
	told    time.Time
	gain    time.Time // when something came
	nodes   frontier
	leaves  queue
	// following is how many holders are asked which leaves they have.
	following int
	plain     []*holder // peers that may have it and speak bitswap only
}

// A holder is a peer in one fetch.
type holder struct {
	m      *member
	busy   bool      // something is asked of it
	lost   bool      // it is of no use any more in this fetch
	plain  bool      // it speaks bitswap only
	tried  bool      // it was asked for nodes, in vain
	again  time.Time // it has a part, and is not asked before
	reason error     // why it is lost
	// w brings leaves from it, or did.
	w *worker
	// parts is what it has said about leaves if it has a part only, and followed is set once it is asked.
	parts    []protocol.Part
	followed bool
}

// Fetch makes the tree below root present in the system, from all peers that have it. Size is a bound of the bytes of its
// files; 0 is none. Progress may be nil, and is called by several goroutines, one at a time.
// After an error what has come is kept, and the next Fetch of the root goes on from there.
func (s *Swarm) Fetch(ctx context.Context, root cid.CID, size int64, progress func(done, total int64)) error {
	f := &fetch{s: s, root: root, size: size, progress: progress, known: map[peer.ID]*holder{}, over: make(chan struct{})}
	f.cond.L = &f.mu
	if err := f.alone(ctx); err != nil {
		return err
	}
	defer f.release()
	var err error
	if f.r, err = s.o.System.Receive(ctx, root, size); err != nil {
		return err
	}
	f.gain = time.Now()
	return errors.Join(f.run(ctx), f.r.Close())
}

// alone waits until nobody else fetches the root.
func (f *fetch) alone(ctx context.Context) error {
	for {
		f.s.mu.Lock()
		other := f.s.fetching[f.root]
		if other == nil {
			f.s.fetching[f.root] = f
			f.s.mu.Unlock()
			return nil
		}
		f.s.mu.Unlock()
		select {
		case <-other.over:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// release lets others fetch the root.
func (f *fetch) release() {
	f.s.mu.Lock()
	delete(f.s.fetching, f.root)
	f.s.mu.Unlock()
	close(f.over)
}

func (f *fetch) run(ctx context.Context) error {
	work, cancel := context.WithCancel(ctx)
	defer f.helpers.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { f.end(ctx.Err()) })
	defer stop()
	f.helpers.Go(func() { f.watch(work) })
	if err := f.bringNodes(work); err != nil {
		return err
	}
	if err := f.bringLeaves(work); err != nil {
		return err
	}
	f.tell(true)
	return f.r.Finish(ctx)
}

// end ends the fetch with an error.
func (f *fetch) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
	f.cond.Broadcast()
}

// watch looks for peers that are late, until ctx ends.
func (f *fetch) watch(ctx context.Context) {
	t := time.NewTicker(tick)
	defer t.Stop()
	wait, next := firstLook, time.Now().Add(firstLook)
	mark, marked := time.Now(), int64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		f.mu.Lock()
		if now := time.Now(); now.After(next) {
			wait = min(2*wait, lastLook)
			next = now.Add(wait)
			f.lookAround(ctx)
		}
		f.leaves.late(time.Now())
		if time.Since(mark) > paceEvery {
			now := f.brought()
			if now-marked < f.pace() && f.err == nil {
				f.err = f.tooSlow(now - marked)
			}
			mark, marked = time.Now(), now
		}
		f.cond.Broadcast()
		f.mu.Unlock()
	}
}

// brought is how many bytes have come that are wanted: those of nodes, of leaves, and of the leaves that are on their way. f.mu is held.
func (f *fetch) brought() int64 {
	all := f.nodes.bytes + f.leaves.brought
	for _, w := range f.leaves.workers {
		if len(w.pending) > 0 {
			all += min(w.bytes.Load()-w.counted, f.leaves.leaves[w.pending[0]].Size)
		}
	}
	return all
}

// tooSlow says that a fetch is over which brings next to nothing. f.mu is held.
func (f *fetch) tooSlow(got int64) error {
	return protocol.Errorf(protocol.Unavailable, "fetch %s: it comes too slowly: %d bytes in %s, of %d peers that had it", f.root, got, paceEvery, len(f.holders)).
		WithHint("what is here is kept; the same command goes on from there")
}

// pace is how many bytes must come in paceEvery: fewer when this node takes no more.
func (f *fetch) pace() int64 {
	least := int64(paceBytes)
	if f.s.down != nil {
		least = min(least, int64(float64(f.s.down.Limit())*paceEvery.Seconds()/2))
	}
	return least
}

// tell tells the progress, now or when it is time.
func (f *fetch) tell(now bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.progress == nil || !now && time.Since(f.told) < progressEvery {
		return
	}
	f.told = time.Now()
	f.progress(f.r.Progress())
}

// next returns a holder for which free is true and marks it busy, or nil. It begins to look for holders when there are none.
// An error says that there are none and that it is of no use to look. f.mu is held.
func (f *fetch) next(ctx context.Context, active int, free func(*holder) bool) (*holder, error) {
	if f.err != nil {
		return nil, f.err
	}
	waiting := false
	for _, h := range f.holders {
		if h.busy || h.lost || !free(h) {
			continue
		}
		if time.Now().Before(h.again) {
			waiting = true
			continue
		}
		h.busy = true
		return h, nil
	}
	if active > 0 || f.looking > 0 || waiting && time.Since(f.gain) < partHope {
		return nil, nil
	}
	if len(f.plain) > 0 {
		f.holders, f.plain = append(f.holders, f.plain...), nil
		return f.next(ctx, active, free)
	}
	if f.looked > looks {
		return nil, f.nobody()
	}
	f.looked++
	f.holders = slices.DeleteFunc(f.holders, func(h *holder) bool {
		if h.busy || errors.Is(h.reason, errLied) {
			return false
		}
		delete(f.known, h.m.id) // a second chance
		return true
	})
	maps.DeleteFunc(f.known, func(_ peer.ID, h *holder) bool { return !slices.Contains(f.holders, h) })
	f.look(ctx)
	return nil, nil
}

// gained notes that something came which was wanted. f.mu is held.
func (f *fetch) gained() { f.looked, f.gain = 0, time.Now() }

// nobody says why the fetch cannot go on. f.mu is held.
func (f *fetch) nobody() error {
	why := "nobody who can be reached has it"
	var last error
	for _, h := range f.holders {
		if h.reason != nil {
			last = h.reason
		}
	}
	if last != nil {
		why = fmt.Sprintf("of %d peers that had it none is left: %v", len(f.holders), last)
	}
	done, total := f.r.Progress()
	hint := "connect to a node that has it: nuka swarm connect ADDRESS"
	if done > 0 {
		hint = fmt.Sprintf("%d of %d bytes are here and are kept; the same command goes on from there", done, total)
	}
	return protocol.Errorf(protocol.Unavailable, "fetch %s: %s", f.root, why).WithHint("%s", hint)
}

// free gives a holder back. f.mu is held.
func (f *fetch) free(h *holder, err error) {
	h.busy = false
	if errors.Is(err, errSlow) {
		h.reason = err
	} else if errors.Is(err, errPart) {
		h.tried, h.again, h.reason = false, time.Now().Add(partWait), err
	} else if err != nil {
		h.lost, h.reason = true, err
		if errors.Is(err, errLied) {
			h.m.lied()
			f.s.log.Warn("a peer gave wrong bytes", "peer", h.m.id, "root", f.root, "error", err)
		} else {
			f.s.log.Debug("a holder is lost", "peer", h.m.id, "root", f.root, "error", err)
		}
	}
	f.cond.Broadcast()
}
