package swarm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"golang.org/x/sync/errgroup"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

const (
	// batchSize is how many bytes of leaves are put as one.
	batchSize = 1 << 20
	// batchAhead is how many batches one worker has read and not put.
	batchAhead = 4
	// putAtOnce is how many small leaves of one worker are put at a time: to make files is what takes time then.
	putAtOnce = 4
	// rateTime is over what time a rate is measured.
	rateTime = 100 * time.Millisecond
)

// errPart says that a peer does not have all of it.
var errPart = errors.New("it has a part of it only")

// errWrong says that a peer gave other bytes than the block's.
var errWrong = fmt.Errorf("wrong bytes: %w", errLied)

// errStalled says that a peer has given next to nothing for long.
var errStalled = errors.New("it stalls")

// A worker brings leaves from one peer. Guarded by the fetch's mu but for what says otherwise.
type worker struct {
	f       *fetch
	h       *holder
	st      network.Stream
	pending []int32        // what the peer owes, in the order in which it will come
	owed    int64          // bytes of it
	lacks   map[int32]bool // it has said so
	late    bool
	err     error // why it ends
	over    bool

	gap       [gaps]time.Duration
	came      int
	last      time.Time // of the last leaf, or since when something is owed
	rate      float64   // bytes a second; 0 is unknown
	rateMark  time.Time
	rateBytes int64
	mark      time.Time // for deadAfter
	marked    int64
	seen      int64 // what had come when it was last looked, and when that had changed
	flowed    time.Time
	counted   int64        // what had come when the last leaf was taken
	bytes     atomic.Int64 // that have come; not guarded
	windows   []int32      // what was asked for and not read, in order
}

// owes is how many bytes of what is owed have not come.
func (w *worker) owes() int64 {
	return max(0, w.owed-(w.bytes.Load()-w.counted))
}

// room is how many bytes the peer is to be asked for now.
func (w *worker) room() int64 {
	owes := w.owes()
	if w.rate == 0 {
		ahead := min(firstAhead+w.bytes.Load(), maxAhead)
		if owes > ahead*3/4 {
			return 0
		}
		return ahead - owes
	}
	spare := min(int64(w.rate*(spareTime+min(2*w.h.m.lag(), time.Second)).Seconds()), maxAhead/2)
	if owes > spare {
		return 0
	}
	return max(min(int64(w.rate*aheadTime.Seconds()), maxAhead)-owes, spare-owes, 1)
}

// eta is how long the peer takes for so many bytes.
func (w *worker) eta(size int64) time.Duration {
	return duration(size, w.rate)
}

func (w *worker) p90() time.Duration {
	n := min(w.came, gaps)
	sorted := slices.Clone(w.gap[:n])
	slices.Sort(sorted)
	return sorted[n*9/10]
}

// measure adds to the rate.
func (w *worker) measure(size int64, now time.Time) {
	w.rateBytes += size
	dt := now.Sub(w.rateMark)
	if dt < rateTime {
		return
	}
	r := float64(w.rateBytes) / dt.Seconds()
	if w.rate == 0 {
		w.rate = r
	} else {
		w.rate += (r - w.rate) / 3
	}
	w.rateMark, w.rateBytes = now, 0
}

// die ends the worker. f.mu is held.
func (w *worker) die(err error) {
	if w.err == nil {
		w.err = err
	}
	w.over = true
	switch {
	case w.st == nil: // by bitswap
	case errors.Is(err, errWrong):
		_ = w.st.ResetWithError(protocol.WrongBytes) // that fails only when it is over
	default:
		abort(w.st)
	}
	w.f.cond.Broadcast()
}

// bringLeaves brings all leaves, from all holders at once.
func (f *fetch) bringLeaves(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	active := 0
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() {
		cancel()
		for active > 0 {
			f.cond.Wait()
		}
	}()
	q := &f.leaves
	q.fill(f.r.WantLeaves(), len(f.s.host.Network().Peers()) > 1)
	if _, total := f.r.Progress(); f.size > 0 && total > f.size {
		return protocol.Errorf(protocol.Mismatch, "fetch %s: its files have %d bytes, and %d at most were signed for", f.root, total, f.size).
			WithHint("do not trust who has signed it")
	}
	for q.left > 0 {
		f.followAll(ctx)
		if active < maxWorkers {
			h, err := f.next(ctx, active, func(*holder) bool { return true })
			if err != nil {
				return err
			}
			if h != nil {
				active++
				go func() {
					err := f.leavesOf(ctx, h)
					f.mu.Lock()
					defer f.mu.Unlock()
					active--
					if ctx.Err() != nil || q.left == 0 {
						err = nil
					}
					f.free(h, err)
				}()
				continue
			}
		}
		if f.err != nil {
			return f.err
		}
		f.cond.Wait()
	}
	return f.err
}

// leavesOf brings leaves from a holder in the way that it knows.
func (f *fetch) leavesOf(ctx context.Context, h *holder) error {
	if h.plain {
		return f.leavesByBitswap(ctx, h)
	}
	return f.leavesFrom(ctx, h)
}

// leavesFrom brings leaves from one peer until there are none left, or it fails.
func (f *fetch) leavesFrom(ctx context.Context, h *holder) error {
	st, done, err := f.s.open(ctx, h.m.id, protocol.WantProtocol)
	if err != nil {
		return err
	}
	defer done()
	w := f.begin(h, st)
	// What comes is compared before more is read, so that a lie costs one leaf, and put at the same time.
	batches := make(chan *batch, batchAhead)
	var parts sync.WaitGroup
	parts.Go(func() {
		defer close(batches)
		w.end(w.receive(ctx, batches))
	})
	parts.Go(func() {
		for b := range batches {
			w.put(b)
			b.free()
		}
	})
	w.end(w.askFor())
	parts.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leaves.leave(w)
	return w.err
}

// begin makes the worker of a holder. st is nil by bitswap.
func (f *fetch) begin(h *holder, st network.Stream) *worker {
	f.mu.Lock()
	defer f.mu.Unlock()
	h.w = &worker{f: f, h: h, st: st, last: time.Now()}
	f.leaves.workers = append(f.leaves.workers, h.w)
	return h.w
}

// end ends the worker with an error; nil does not.
func (w *worker) end(err error) {
	if err == nil {
		return
	}
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	w.die(err)
}

// next waits for the next window; nil: there is nothing left that the peer could give.
func (w *worker) next() []int32 {
	f := w.f
	f.mu.Lock()
	defer f.mu.Unlock()
	for !w.over && f.err == nil && f.leaves.left > 0 {
		if window := f.leaves.take(w, time.Now()); len(window) > 0 {
			return window
		}
		if len(w.pending) == 0 && f.leaves.onlyLacks(w) && (w.h.parts == nil || time.Since(w.last) > partWait) {
			if w.err == nil {
				w.err = errPart
			}
			return nil
		}
		f.cond.Wait()
	}
	return nil
}

// askFor asks for window after window, so that the peer always owes something.
func (w *worker) askFor() error {
	f := w.f
	out := bufio.NewWriterSize(w.st, 20<<10)
	items := make([][]byte, 0, protocol.MaxAsked)
	for {
		window := w.next()
		if window == nil {
			w.close()
			return nil
		}
		f.mu.Lock()
		kind := protocol.AskBlocks
		if w.rate > 0 && w.rate < smallBelow {
			kind = protocol.AskSmall
		}
		items = items[:0]
		for _, leaf := range window {
			items = append(items, f.leaves.leaves[leaf].CID.Bytes())
		}
		f.mu.Unlock()
		err := w.st.SetWriteDeadline(time.Now().Add(slowStream))
		if err == nil {
			err = protocol.WriteAsk(out, kind, items)
		}
		if err == nil {
			err = out.Flush()
		}
		if err != nil {
			return err
		}
		f.mu.Lock()
		w.windows = append(w.windows, window...)
		f.cond.Broadcast()
		f.mu.Unlock()
	}
}

// onlyLacks says that there is nothing to do that the peer has.
func (q *queue) onlyLacks(w *worker) bool {
	for _, leaf := range q.todo {
		if !q.done[leaf] && !w.without(leaf) {
			return false
		}
	}
	return len(q.todo) > 0
}

// close makes the reader end: nothing that is still owed is wanted.
func (w *worker) close() {
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	w.over = true
	abort(w.st)
	w.f.cond.Broadcast()
}

// Read counts what comes, and is never faster than it may.
func (w *worker) Read(b []byte) (int, error) {
	n, err := w.st.Read(b)
	w.bytes.Add(int64(n))
	w.h.m.took(n)
	return n, err
}

// receive reads what the peer gives into batches.
func (w *worker) receive(ctx context.Context, batches chan<- *batch) error {
	f := w.f
	r := bufio.NewReaderSize(w, 64<<10)
	b := newBatch()
	var frame []byte
	for {
		f.mu.Lock()
		for len(w.windows) == 0 && !w.over {
			f.cond.Wait()
		}
		run := w.windows
		w.windows = nil
		over := w.over
		f.mu.Unlock()
		if over {
			b.free()
			return nil
		}
		for _, i := range run {
			leaf := f.leaves.leaves[i]
			if !b.fits(leaf) {
				batches <- b
				b = newBatch()
			}
			var err error
			if frame, err = b.read(f.s.codec, r, i, leaf, frame); err == nil {
				err = w.compare(b)
			}
			if err == nil && f.s.down != nil {
				err = f.s.down.WaitN(ctx, int(leaf.Size))
			}
			if err != nil {
				batches <- b // what came before is good
				if errors.Is(err, io.ErrUnexpectedEOF) {
					err = errors.New("it hangs up")
				}
				return err
			}
			if r.Buffered() == 0 {
				batches <- b
				b = newBatch()
			}
		}
		if len(b.items) > 0 {
			batches <- b
			b = newBatch()
		}
	}
}

// compare compares the last leaf of a batch with its hash. One that is wrong is as good as missing.
func (w *worker) compare(b *batch) error {
	it := &b.items[len(b.items)-1]
	leaf := w.f.leaves.leaves[it.leaf]
	if it.missing || cid.Sum(cid.Raw, b.buf[it.begin:it.end]) == leaf.CID {
		return nil
	}
	it.missing = true
	return fmt.Errorf("leaf %s: %w", leaf.CID, errWrong)
}

// put gives what has come to the receiver, several small leaves at a time, and notes it.
func (w *worker) put(b *batch) {
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
	if err = errors.Join(err, puts.Wait()); err != nil {
		f.end(fmt.Errorf("fetch %s: %w", f.root, err))
		return
	}
	now := time.Now()
	f.mu.Lock()
	gained := false
	for i := range b.items {
		if len(w.pending) > 0 {
			gained = f.leaves.came(w, !b.items[i].missing, now) || gained
		}
	}
	if gained {
		f.gained()
	}
	f.cond.Broadcast()
	f.mu.Unlock()
	if gained {
		w.h.m.gave()
		f.tell(false)
	}
}
