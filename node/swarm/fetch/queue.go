package fetch

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

const (
	// firstWindow is how many bytes are in flight from a provider at first. While its rate is unknown, as many more as it has sent may be.
	// After that, what it sends in windowTime is in flight, at most maxWindow, and it is asked for more when what is in flight lasts for
	// refillTime and a round trip.
	firstWindow, maxWindow = 1 << 20, 16 << 20
	windowTime, refillTime = 500 * time.Millisecond, 150 * time.Millisecond
	// minWindow is the least number of bytes that are asked for at once, near the end too.
	minWindow = 128 << 10
	// maxInFlight bounds the leaves in flight from one provider.
	maxInFlight = 4 * protocol.MaxAsked
	// lateFloor is the time that a provider always has for the next leaf, and lateFirst its time while nothing is known about any provider.
	lateFloor, lateFirst = 300 * time.Millisecond, 2 * time.Second
	// gaps is the number of leaves whose times between each other are remembered.
	gaps = 32
	// stealFactor and stealFloor: an idle worker takes over a leaf in flight when its provider would need that many times as long for it,
	// and that much longer.
	stealFactor, stealFloor = 2, 100 * time.Millisecond
	// slowFactor is how many times as long a leaf may take whose bytes keep arriving.
	slowFactor = 8
	// deadAfter and deadBytes: a provider that sends fewer bytes than that in that time, with leaves in flight, is lost.
	deadAfter, deadBytes = 60 * time.Second, 64 << 10
)

// A queue is the leaves of one job and the workers they are in flight to. The job's mu guards it.
type queue struct {
	leaves   []cid.Leaf
	done     []bool
	inFlight []uint8 // from how many providers each leaf is in flight
	todo     []int32 // leaves that are not in flight; the next one is the last
	left     int
	bytes    int64                      // of the leaves that are left
	received int64                      // bytes of the leaves that arrived
	index    map[protocol.PartKey]int32 // of the leaves; made when it is needed
	workers  []*worker
	// leechers are the providers that fetch the tree themselves, or did when they were first asked. sharedRate is how many bytes a second
	// they sent together until sharedSince, and sharedBytes what they have sent since.
	leechers    []*provider
	sharedSince time.Time
	sharedBytes int64
	sharedRate  float64
}

// fill takes the leaves to fetch. With spread the queue begins at a random leaf, so that many nodes that fetch the same tree have different
// parts of it first. Without, it begins at the first one: then a receiver writes each file from its beginning.
func (q *queue) fill(leaves []cid.Leaf, spread bool) {
	n := len(leaves)
	q.leaves, q.left = leaves, n
	q.done, q.inFlight, q.todo = make([]bool, n), make([]uint8, n), make([]int32, 0, n)
	begin := 0
	if n > 1 && spread {
		begin = rand.IntN(n)
	}
	for i := range leaves {
		q.bytes += leaves[i].Size
		q.todo = append(q.todo, int32((begin+n-1-i)%n))
	}
}

// take gives a worker its next window: leaves that are not in flight, or, if there are none, some that other providers would take long for.
func (q *queue) take(w *worker, now time.Time) []int32 {
	room := w.room()
	if w.late || room <= 0 || len(w.pending) > maxInFlight-protocol.MaxAsked || q.wouldDelay(w) {
		return nil
	}
	if n := len(q.workers); n > 1 { // smaller windows near the end, so that all end at the same time
		room = min(room, max(minWindow, q.bytes/int64(2*n)))
	}
	swarming := !slices.Contains(q.leechers, w.p) && len(w.lacks) == 0 && q.swarming()
	deprioritised := swarming && w.rate > 0 && q.shared(now) >= sharedLeast*w.rate
	if swarming && w.rate == 0 { // single leaves are enough to measure its rate
		if len(w.pending) > 0 {
			return nil
		}
		room = 1
	}
	var window []int32
	for i := len(q.todo) - 1; i >= 0 && room > 0 && len(window) < protocol.MaxAsked; i-- {
		leaf := q.todo[i]
		if q.done[leaf] || q.inFlight[leaf] > 0 {
			q.todo = slices.Delete(q.todo, i, i+1)
			continue
		}
		if w.without(leaf) || deprioritised && q.elsewhere(leaf) {
			continue
		}
		q.todo = slices.Delete(q.todo, i, i+1)
		window = append(window, leaf)
		room -= q.leaves[leaf].Size
	}
	if len(window) == 0 && len(w.pending) == 0 && !deprioritised {
		window = q.steal(w, room)
	}
	for _, leaf := range window {
		q.inFlight[leaf]++
		w.inFlight += q.leaves[leaf].Size
	}
	if len(w.pending) == 0 {
		if w.rateMark.IsZero() {
			w.rateMark = now
		} else {
			w.rateMark = w.rateMark.Add(now.Sub(w.last)) // nothing was asked of it
		}
		w.last, w.mark, w.marked, w.counted = now, now, w.bytes.Load(), w.bytes.Load()
	}
	w.pending = append(w.pending, window...)
	return window
}

// wouldDelay reports whether the others are done before w has fetched one more leaf.
func (q *queue) wouldDelay(w *worker) bool {
	sum, faster := 0.0, false
	for _, v := range q.workers {
		if !v.late {
			sum += v.rate
			faster = faster || v.rate > w.rate
		}
	}
	if w.rate == 0 || !faster || len(q.todo) == 0 {
		return false
	}
	leaf := q.leaves[q.todo[len(q.todo)-1]]
	return w.eta(w.outstanding()+leaf.Size) > duration(q.bytes, sum)*5/4+stealFloor
}

// steal returns leaves from the end of what is in flight from the slowest provider, if that one would take much longer for them than w's.
func (q *queue) steal(w *worker, room int64) []int32 {
	var from *worker
	var longest time.Duration
	for _, v := range q.workers {
		if eta := v.eta(v.inFlight); v != w && len(v.pending) > 0 && eta > longest {
			from, longest = v, eta
		}
	}
	if from == nil {
		return nil
	}
	var window []int32
	ahead := from.inFlight // bytes that the other provider sends before the leaf has arrived
	var mine int64
	for i := len(from.pending) - 1; i >= 0 && room > mine; i-- {
		leaf := from.pending[i]
		size := q.leaves[leaf].Size
		if from.eta(ahead) < stealFactor*w.eta(mine+size)+stealFloor {
			break
		}
		ahead -= size
		if q.done[leaf] || q.inFlight[leaf] > 1 || w.without(leaf) {
			continue
		}
		window = append(window, leaf)
		mine += size
	}
	return window
}

// arrived records that the oldest leaf in flight to w arrived, or that the provider does not have it. It reports whether the leaf was
// still wanted.
func (q *queue) arrived(w *worker, has bool, now time.Time) bool {
	leaf := w.pending[0]
	w.pending = w.pending[1:]
	size := q.leaves[leaf].Size
	w.inFlight -= size
	if q.inFlight[leaf] > 0 { // after requeue it is in flight from another provider, or from none
		q.inFlight[leaf]--
	}
	w.gap[w.count%gaps] = now.Sub(w.last)
	w.count++
	w.last, w.late = now, false
	w.counted = w.bytes.Load()
	if !has {
		if w.lacks == nil {
			w.lacks = map[int32]bool{}
		}
		w.lacks[leaf] = true
		if !q.done[leaf] && q.inFlight[leaf] == 0 {
			q.todo = append(q.todo, leaf)
		}
		return false
	}
	w.measure(size, now)
	if q.done[leaf] {
		return false
	}
	q.done[leaf] = true
	if slices.Contains(q.leechers, w.p) {
		q.sharedBytes += size
	}
	q.left--
	q.bytes -= size
	q.received += size
	return true
}

// requeue lets other workers take what is in flight to w. Leaves that arrive all the same count.
func (q *queue) requeue(w *worker) {
	for i := len(w.pending) - 1; i >= 0; i-- {
		if leaf := w.pending[i]; !q.done[leaf] && q.inFlight[leaf] <= 1 {
			q.inFlight[leaf] = 0
			q.todo = append(q.todo, leaf)
		}
	}
}

// leave removes a worker and puts back what is in flight to it.
func (q *queue) leave(w *worker) {
	for _, leaf := range w.pending {
		if q.inFlight[leaf] > 0 {
			q.inFlight[leaf]--
		}
		if !q.done[leaf] && q.inFlight[leaf] == 0 {
			q.todo = append(q.todo, leaf)
		}
	}
	w.pending, w.inFlight = nil, 0
	q.workers = slices.DeleteFunc(q.workers, func(v *worker) bool { return v == w })
}

// onlyLacks reports whether leaves are left to take and the provider has none of them.
func (q *queue) onlyLacks(w *worker) bool {
	for _, leaf := range q.todo {
		if !q.done[leaf] && !w.without(leaf) {
			return false
		}
	}
	return len(q.todo) > 0
}

// findLate finds the workers whose next leaf is overdue, requeues what is in flight to them, and calls stalled for each.
func (q *queue) findLate(now time.Time, stalled func()) {
	for _, w := range q.workers {
		if len(w.pending) == 0 {
			continue
		}
		if now.Sub(w.mark) > deadAfter {
			got := w.bytes.Load()
			if got-w.marked < deadBytes {
				w.die(routing.ErrStalled)
			}
			w.mark, w.marked = now, got
		}
		if b := w.bytes.Load(); b != w.seen {
			w.seen, w.flowed = b, now
		}
		if patience := q.patience(w); !w.late && now.Sub(w.last) > patience && !q.flows(w, now, patience) {
			w.late = true
			stalled()
			q.requeue(w)
		}
	}
}

// flows reports whether a provider whose next leaf is overdue is merely slow: its bytes keep arriving, and enough of them.
func (q *queue) flows(w *worker, now time.Time, patience time.Duration) bool {
	got := w.bytes.Load() - w.counted
	if got <= 0 || now.Sub(w.flowed) > patience {
		return false
	}
	size := q.leaves[w.pending[0]].Size
	return float64(now.Sub(w.last))*float64(size)/float64(got) < slowFactor*float64(patience)
}

// patience is how long a provider may take for its next leaf: twice what nine of ten took, and twice the time that its size takes.
func (q *queue) patience(w *worker) time.Duration {
	size := q.leaves[w.pending[0]].Size
	known := w
	if w.count == 0 { // nothing is known about it: take the slowest of the others
		for _, v := range q.workers {
			if v.count > 0 && (known == w || v.rate < known.rate) {
				known = v
			}
		}
	}
	if known.count == 0 || known.rate == 0 {
		return lateFirst + 2*w.p.peer.Latency()
	}
	return max(lateFloor+2*w.p.peer.Latency(), 2*known.p90(), 2*duration(size, known.rate))
}

// duration is how long so many bytes take at a rate in bytes a second.
func duration(size int64, rate float64) time.Duration {
	if rate <= 0 {
		rate = 1 << 20 // a guess
	}
	return time.Duration(float64(size) / rate * float64(time.Second))
}
