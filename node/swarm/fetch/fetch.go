package fetch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/node/swarm/wire"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

const (
	// maxWorkers is the largest number of providers that one tree is fetched from at a time.
	maxWorkers = 12
	// tick is how often a job checks whether a provider is late.
	tick = 50 * time.Millisecond
	// progressEvery is the least time between two reports of progress.
	progressEvery = 100 * time.Millisecond
	// looks is how many more times a job looks for providers when none is left and nothing arrived since the last time.
	looks = 1
	// partWait is after how long a provider that lacked some blocks is asked again, and partHope how long that goes on while nothing
	// arrives.
	partWait, partHope = 200 * time.Millisecond, 5 * time.Second
	// firstLook and lastLook are the first and the longest wait, which doubles, until connected peers that did not have the root are
	// asked again: they may be fetching it as well.
	firstLook, lastLook = 250 * time.Millisecond, 16 * time.Second
	// paceEvery and paceBytes: a job that receives fewer bytes than that in that time fails, however many peers say that they have the
	// tree. Building the package is faster then.
	paceEvery, paceBytes = 2 * time.Minute, 128 << 10
)

// Options configure a Fetcher. All fields but Down must be set.
type Options struct {
	Network Network
	Store   Store
	Codec   *wire.Codec
	// Down bounds the bytes of blocks from all peers; nil is no bound.
	Down *rate.Limiter
	Log  *slog.Logger
}

// A Fetcher runs the fetches of one swarm. Many goroutines may call its methods.
type Fetcher struct {
	o Options

	// Stalls counts how often a provider was late with a leaf, which was then asked of others.
	Stalls atomic.Int64
	// Proved, Without and Unreachable count the peers that the DHT named as providers of a root, by what they turned out to be.
	Proved, Without, Unreachable atomic.Int64

	mu   sync.Mutex
	jobs map[cid.CID]*Job
}

// New returns a Fetcher.
func New(o *Options) *Fetcher { return &Fetcher{o: *o, jobs: map[cid.CID]*Job{}} }

// A Job is one fetch of one tree.
type Job struct {
	*Options
	s        *Fetcher
	root     cid.CID
	size     int64
	r        Receiver
	progress func(done, total int64)
	helpers  sync.WaitGroup // goroutines that look for providers and follow leechers
	over     chan struct{}  // closed at the end

	mu   sync.Mutex
	cond sync.Cond
	err  error // why the job ends early
	// providers are in the order in which they proved to be providers.
	providers []*provider
	claimed   map[protocol.Key]*provider // those that were asked for the root, or are being asked
	looking   int                        // goroutines that look for providers
	looked    int                        // searches since something useful arrived
	told      time.Time                  // of the last report of progress
	gain      time.Time                  // when something useful arrived
	nodes     frontier
	leaves    queue
	following int         // leechers that are asked which leaves they have
	bitswap   []*provider // Bitswap-only peers, which may have the tree
}

// A provider is a peer in one job.
type provider struct {
	peer    *routing.Peer
	busy    bool      // something is asked of it
	lost    bool      // it is useless for the rest of the job
	bitswap bool      // it speaks Bitswap only
	tried   bool      // it was asked for nodes, in vain
	again   time.Time // it has a part of the tree, and is not asked before then
	reason  error     // why it is lost
	w       *worker   // asks it for leaves, or did
	// parts is what a leecher has said about each leaf, and followed is set once it is asked.
	parts    []protocol.Part
	followed bool
}

// Fetch brings the tree below root into the store, from all providers at once. Size is a bound of the bytes of its files; 0 is none.
// Progress may be nil. Several goroutines call it, one at a time.
// After an error the blocks received so far are kept, and the next Fetch of the root resumes from there.
func (s *Fetcher) Fetch(ctx context.Context, root cid.CID, size int64, progress func(done, total int64)) error {
	f := &Job{Options: &s.o, s: s, root: root, size: size, progress: progress, claimed: map[protocol.Key]*provider{}, over: make(chan struct{})}
	f.cond.L = &f.mu
	if err := f.register(ctx); err != nil {
		return err
	}
	defer f.unregister()
	var err error
	if f.r, err = s.o.Store.Receive(ctx, root, size); err != nil {
		return err
	}
	f.gain = time.Now()
	return errors.Join(f.run(ctx), f.r.Close())
}

// Job returns the fetch of a root that is in progress, or nil.
func (s *Fetcher) Job(root cid.CID) *Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jobs[root]
}

// register waits until no other job fetches the root, and takes its place.
func (f *Job) register(ctx context.Context) error {
	s := f.s
	for {
		s.mu.Lock()
		other := s.jobs[f.root]
		if other == nil {
			s.jobs[f.root] = f
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		select {
		case <-other.over:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unregister lets other jobs fetch the root.
func (f *Job) unregister() {
	s := f.s
	s.mu.Lock()
	delete(s.jobs, f.root)
	s.mu.Unlock()
	close(f.over)
}

func (f *Job) run(ctx context.Context) error {
	work, cancel := context.WithCancel(ctx)
	defer f.helpers.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { f.fail(ctx.Err()) })
	defer stop()
	f.helpers.Go(func() { f.watch(work) })
	if err := f.fetchNodes(work); err != nil {
		return err
	}
	if err := f.fetchLeaves(work); err != nil {
		return err
	}
	f.report(true)
	return f.r.Finish(ctx)
}

// fail ends the job with an error.
func (f *Job) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
	f.cond.Broadcast()
}

// watch looks for late providers, for new providers, and for a job that is too slow, until ctx ends.
func (f *Job) watch(ctx context.Context) {
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
		f.leaves.findLate(time.Now(), func() { f.s.Stalls.Add(1) })
		if time.Since(mark) > paceEvery {
			now := f.received()
			if now-marked < f.leastPace() && f.err == nil {
				f.err = f.tooSlow(now - marked)
			}
			mark, marked = time.Now(), now
		}
		f.cond.Broadcast()
		f.mu.Unlock()
	}
}

// received is how many useful bytes have arrived: of nodes, of leaves, and of the leaves that are arriving. f.mu is held.
func (f *Job) received() int64 {
	all := f.nodes.bytes + f.leaves.received
	for _, w := range f.leaves.workers {
		if len(w.pending) > 0 {
			all += min(w.bytes.Load()-w.counted, f.leaves.leaves[w.pending[0]].Size)
		}
	}
	return all
}

// tooSlow is the error of a job that receives next to nothing. f.mu is held.
func (f *Job) tooSlow(got int64) error {
	return protocol.Errorf(protocol.Unavailable, "fetch %s: too slow: %d bytes in %s, from %d providers", f.root, got, paceEvery, len(f.providers)).
		WithHint("blocks received so far are kept; the same command resumes from there")
}

// leastPace is how many bytes must arrive in paceEvery: fewer when this node's own bound allows no more.
func (f *Job) leastPace() int64 {
	least := int64(paceBytes)
	if f.Down != nil {
		least = min(least, int64(float64(f.Down.Limit())*paceEvery.Seconds()/2))
	}
	return least
}

// report reports the progress, now or if it is time.
func (f *Job) report(now bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.progress == nil || !now && time.Since(f.told) < progressEvery {
		return
	}
	f.told = time.Now()
	f.progress(f.r.Progress())
}

// next returns a provider for which free is true and marks it busy, or nil. If there is none it begins to look for providers.
// An error says that there is none and that looking again is useless. f.mu is held.
func (f *Job) next(ctx context.Context, active int, free func(*provider) bool) (*provider, error) {
	if f.err != nil {
		return nil, f.err
	}
	waiting := false
	for _, p := range f.providers {
		if p.busy || p.lost || !free(p) {
			continue
		}
		if time.Now().Before(p.again) {
			waiting = true
			continue
		}
		p.busy = true
		return p, nil
	}
	if active > 0 || f.looking > 0 || waiting && time.Since(f.gain) < partHope {
		return nil, nil
	}
	if len(f.bitswap) > 0 {
		f.providers, f.bitswap = append(f.providers, f.bitswap...), nil
		return f.next(ctx, active, free)
	}
	if f.looked > looks {
		return nil, f.noProvider()
	}
	f.looked++
	f.providers = slices.DeleteFunc(f.providers, func(p *provider) bool {
		if p.busy || errors.Is(p.reason, routing.ErrLied) {
			return false
		}
		delete(f.claimed, p.peer.Key) // a second chance
		return true
	})
	maps.DeleteFunc(f.claimed, func(_ protocol.Key, p *provider) bool { return !slices.Contains(f.providers, p) })
	f.look(ctx)
	return nil, nil
}

// gained records that something useful arrived. f.mu is held.
func (f *Job) gained() { f.looked, f.gain = 0, time.Now() }

// noProvider is the error of a job without providers. f.mu is held.
func (f *Job) noProvider() error {
	why := "no reachable peer has it"
	var last error
	for _, p := range f.providers {
		if p.reason != nil {
			last = p.reason
		}
	}
	if last != nil {
		why = fmt.Sprintf("none of %d providers is left: %v", len(f.providers), last)
	}
	done, total := f.r.Progress()
	hint := "connect to a node that has it: nuka swarm connect ADDRESS"
	if done > 0 {
		hint = fmt.Sprintf("%d of %d bytes are in the store; the same command resumes from there", done, total)
	}
	return protocol.Errorf(protocol.Unavailable, "fetch %s: %s", f.root, why).WithHint("%s", hint)
}

// free gives a provider back after next. f.mu is held.
func (f *Job) free(p *provider, err error) {
	p.busy = false
	switch {
	case errors.Is(err, errSlow):
		p.reason = err
	case errors.Is(err, errPart):
		p.tried, p.again, p.reason = false, time.Now().Add(partWait), err
	case err != nil:
		p.lost, p.reason = true, err
		if errors.Is(err, routing.ErrLied) {
			p.peer.Lied()
			f.Log.Warn("a peer gave wrong bytes", "peer", p.peer, "root", f.root, "error", err)
		} else {
			f.Log.Debug("a provider is lost", "peer", p.peer, "root", f.root, "error", err)
		}
	}
	f.cond.Broadcast()
}
