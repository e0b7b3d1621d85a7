package fetch

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

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/node/swarm/wire"
	"github.com/MordragT/nuka/protocol"
)

const (
	// batchSize is how many bytes of leaves are put together.
	batchSize = 1 << 20
	// batchAhead is how many batches one worker may have read and not put.
	batchAhead = 4
	// putAtOnce is how many small leaves one worker puts at a time: making files is what takes the time then.
	putAtOnce = 4
	// rateTime is the least time over which a rate is measured.
	rateTime = 100 * time.Millisecond
	// smallBelow is the measured rate, in bytes a second, below which a provider is asked to compress.
	smallBelow = 4 << 20
)

// errPart says that a provider has a part of the tree only.
var errPart = errors.New("it is a partial seeder")

// errWrong says that a provider sent other bytes than the block's.
var errWrong = fmt.Errorf("wrong bytes: %w", routing.ErrLied)

// A worker fetches leaves from one provider. The job's mu guards it, except where noted.
type worker struct {
	f        *Job
	p        *provider
	st       routing.Stream // nil by Bitswap
	pending  []int32        // leaves in flight, in the order in which they will arrive
	inFlight int64          // their bytes
	lacks    map[int32]bool // leaves that the provider said it lacks
	late     bool
	err      error // why it ends
	over     bool

	gap       [gaps]time.Duration
	count     int       // leaves that arrived
	last      time.Time // when the last leaf arrived, or when something got in flight
	rate      float64   // bytes a second; 0 is unknown
	rateMark  time.Time
	rateBytes int64
	mark      time.Time // for deadAfter
	marked    int64
	seen      int64 // bytes at the last check, and when they had changed
	flowed    time.Time
	counted   int64        // bytes when the last leaf arrived
	bytes     atomic.Int64 // that arrived; not guarded
	windows   []int32      // leaves asked for and not read yet, in order
}

// outstanding is how many bytes in flight have not arrived.
func (w *worker) outstanding() int64 {
	return max(0, w.inFlight-(w.bytes.Load()-w.counted))
}

// room is how many bytes the provider is to be asked for now.
func (w *worker) room() int64 {
	out := w.outstanding()
	if w.rate == 0 {
		window := min(firstWindow+w.bytes.Load(), maxWindow)
		if out > window*3/4 {
			return 0
		}
		return window - out
	}
	refill := min(int64(w.rate*(refillTime+min(2*w.p.peer.Latency(), time.Second)).Seconds()), maxWindow/2)
	if out > refill {
		return 0
	}
	return max(min(int64(w.rate*windowTime.Seconds()), maxWindow)-out, refill-out, 1)
}

// eta is how long the provider takes for so many bytes.
func (w *worker) eta(size int64) time.Duration {
	return duration(size, w.rate)
}

// p90 is the time between two leaves that nine of ten do not exceed.
func (w *worker) p90() time.Duration {
	n := min(w.count, gaps)
	sorted := slices.Clone(w.gap[:n])
	slices.Sort(sorted)
	return sorted[n*9/10]
}

// measure updates the rate with bytes that arrived.
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
	case w.st == nil: // by Bitswap
	case errors.Is(err, errWrong):
		w.st.Reset(protocol.WrongBytes)
	default:
		w.st.Reset(0)
	}
	w.f.cond.Broadcast()
}

// fetchLeaves fetches all leaves, from all providers at once.
func (f *Job) fetchLeaves(ctx context.Context) error {
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
	q.fill(f.r.WantLeaves(), len(f.Network.Connected(2)) > 1)
	if _, total := f.r.Progress(); f.size > 0 && total > f.size {
		return protocol.Errorf(protocol.Mismatch, "fetch %s: its files have %d bytes, and %d at most were signed for", f.root, total, f.size).
			WithHint("do not trust its signer")
	}
	for q.left > 0 {
		f.followAll(ctx)
		if active < maxWorkers {
			p, err := f.next(ctx, active, func(*provider) bool { return true })
			if err != nil {
				return err
			}
			if p != nil {
				active++
				go func() {
					err := f.leavesOf(ctx, p)
					f.mu.Lock()
					defer f.mu.Unlock()
					active--
					if ctx.Err() != nil || q.left == 0 {
						err = nil
					}
					f.free(p, err)
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

// leavesOf fetches leaves from a provider by the protocol that it speaks.
func (f *Job) leavesOf(ctx context.Context, p *provider) error {
	if p.bitswap {
		return f.leavesByBitswap(ctx, p)
	}
	return f.leavesFrom(ctx, p)
}

// leavesFrom fetches leaves from one provider until none is left, or it fails.
func (f *Job) leavesFrom(ctx context.Context, p *provider) error {
	st, err := f.Network.Open(ctx, p.peer, protocol.WantProtocol)
	if err != nil {
		return err
	}
	defer st.Reset(0)
	w := f.begin(p, st)
	// A leaf is compared before more is read, so that a lie costs one leaf, and is put while the next one is read.
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
	w.end(w.request())
	parts.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leaves.leave(w)
	return w.err
}

// begin makes the worker of a provider. st is nil by Bitswap.
func (f *Job) begin(p *provider, st routing.Stream) *worker {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.w = &worker{f: f, p: p, st: st, last: time.Now()}
	f.leaves.workers = append(f.leaves.workers, p.w)
	return p.w
}

// end ends the worker with an error; nil does not end it.
func (w *worker) end(err error) {
	if err == nil {
		return
	}
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	w.die(err)
}

// next waits for the next window; nil says that nothing is left that the provider could send.
func (w *worker) next() []int32 {
	f := w.f
	f.mu.Lock()
	defer f.mu.Unlock()
	for !w.over && f.err == nil && f.leaves.left > 0 {
		if window := f.leaves.take(w, time.Now()); len(window) > 0 {
			return window
		}
		if len(w.pending) == 0 && f.leaves.onlyLacks(w) && (w.p.parts == nil || time.Since(w.last) > partWait) {
			if w.err == nil {
				w.err = errPart
			}
			return nil
		}
		f.cond.Wait()
	}
	return nil
}

// request asks for window after window, so that something is always in flight.
func (w *worker) request() error {
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
		err := w.st.SetWriteDeadline(time.Now().Add(wire.Slow))
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

// close makes receive end: nothing that is in flight is wanted.
func (w *worker) close() {
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	w.over = true
	w.st.Reset(0)
	w.f.cond.Broadcast()
}

// Read implements io.Reader. It counts what arrives.
func (w *worker) Read(b []byte) (int, error) {
	n, err := w.st.Read(b)
	w.bytes.Add(int64(n))
	w.p.peer.AddReceived(n)
	return n, err
}

// receive reads what the provider sends into batches.
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
			if frame, err = b.read(f.Codec, r, i, leaf, frame); err == nil {
				err = w.compare(b)
			}
			if err == nil && f.Down != nil {
				err = f.Down.WaitN(ctx, int(leaf.Size))
			}
			if err != nil {
				batches <- b // the leaves before it are right
				if errors.Is(err, io.ErrUnexpectedEOF) {
					err = errors.New("it closed the stream")
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
