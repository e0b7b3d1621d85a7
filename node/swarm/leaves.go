package swarm

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

const (
	// firstAhead is how many bytes a peer owes at first; as long as its rate is not known it may owe as many more as it has given.
	// After that it owes what it gives in aheadTime, at most maxAhead, and is asked for more when what it owes lasts for spareTime
	// and a round trip.
	firstAhead, maxAhead = 1 << 20, 16 << 20
	aheadTime, spareTime = 500 * time.Millisecond, 150 * time.Millisecond
	// minWindow is how many bytes are asked for at once, near the end too.
	minWindow = 128 << 10
	// maxOwed bounds the leaves that one peer owes at a time.
	maxOwed = 4 * protocol.MaxAsked
	// lateFloor is how long a peer may always take for the next leaf, and lateFirst as long as nothing is known about any.
	lateFloor, lateFirst = 300 * time.Millisecond, 2 * time.Second
	// gaps is of how many leaves the times between them are remembered.
	gaps = 32
	// stealFactor is how many times as long the owner must need for a leaf before somebody with nothing to do takes it as well.
	stealFactor, stealFloor = 2, 100 * time.Millisecond
	// slowFactor is how many times as long as that a leaf may take whose bytes flow.
	slowFactor = 8
	// deadAfter and deadBytes: a peer that owes something and gives less in that time is lost.
	deadAfter, deadBytes = 60 * time.Second, 64 << 10
)

// A queue is the leaves of one fetch and who owes them. Guarded by the fetch's mu.
type queue struct {
	leaves  []cid.Leaf
	done    []bool
	owners  []uint8 // how many owe each
	todo    []int32 // nobody owes these; the next one last
	left    int
	bytes   int64                      // of what is left
	brought int64                      // bytes of what has come
	index   map[protocol.PartKey]int32 // of the leaves, once it is needed
	workers []*worker
	// sharers are peers that fetch the tree themselves, or did when they were asked first: they have a part, or all by now.
	// sharedRate is what they gave in bytes a second until sharedSince, sharedBytes what since then.
	sharers     []*holder
	sharedSince time.Time
	sharedBytes int64
	sharedRate  float64
}

// fill begins with the given leaves; spread from a random one on, so that many who fetch the same get different parts first.
// In the order of the tree a receiver writes each file from its beginning.
func (q *queue) fill(leaves []cid.Leaf, spread bool) {
	n := len(leaves)
	q.leaves, q.left = leaves, n
	q.done, q.owners, q.todo = make([]bool, n), make([]uint8, n), make([]int32, 0, n)
	begin := 0
	if n > 1 && spread {
		begin = rand.IntN(n)
	}
	for i := range leaves {
		q.bytes += leaves[i].Size
		q.todo = append(q.todo, int32((begin+n-1-i)%n))
	}
}

// take gives a worker its next window: leaves that nobody owes, or, when there are none, some that others will be long about.
func (q *queue) take(w *worker, now time.Time) []int32 {
	room := w.room()
	if w.late || room <= 0 || len(w.pending) > maxOwed-protocol.MaxAsked || q.wouldDelay(w) {
		return nil
	}
	if n := len(q.workers); n > 1 { // a smaller part near the end, so that all end at the same time
		room = min(room, max(minWindow, q.bytes/int64(2*n)))
	}
	crowd := !slices.Contains(q.sharers, w.h) && len(w.lacks) == 0 && q.crowd()
	spared := crowd && w.rate > 0 && q.shared(now) >= sharedLeast*w.rate
	if crowd && w.rate == 0 { // one leaf after the other tells enough
		if len(w.pending) > 0 {
			return nil
		}
		room = 1
	}
	var window []int32
	for i := len(q.todo) - 1; i >= 0 && room > 0 && len(window) < protocol.MaxAsked; i-- {
		leaf := q.todo[i]
		if q.done[leaf] || q.owners[leaf] > 0 {
			q.todo = slices.Delete(q.todo, i, i+1)
			continue
		}
		if w.without(leaf) || spared && q.elsewhere(leaf) {
			continue
		}
		q.todo = slices.Delete(q.todo, i, i+1)
		window = append(window, leaf)
		room -= q.leaves[leaf].Size
	}
	if len(window) == 0 && len(w.pending) == 0 && !spared {
		window = q.steal(w, room)
	}
	for _, leaf := range window {
		q.owners[leaf]++
		w.owed += q.leaves[leaf].Size
	}
	if len(w.pending) == 0 {
		if w.rateMark.IsZero() {
			w.rateMark = now
		} else {
			w.rateMark = w.rateMark.Add(now.Sub(w.last)) // it had nothing to give
		}
		w.last, w.mark, w.marked, w.counted = now, now, w.bytes.Load(), w.bytes.Load()
	}
	w.pending = append(w.pending, window...)
	return window
}

// wouldDelay says that the others are through before w has brought one more leaf.
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
	return w.eta(w.owes()+leaf.Size) > duration(q.bytes, sum)*5/4+stealFloor
}

// steal returns leaves from the end of what the slowest worker owes, when it will be much longer about them than w.
func (q *queue) steal(w *worker, room int64) []int32 {
	var from *worker
	var longest time.Duration
	for _, v := range q.workers {
		if eta := v.eta(v.owed); v != w && len(v.pending) > 0 && eta > longest {
			from, longest = v, eta
		}
	}
	if from == nil {
		return nil
	}
	var window []int32
	ahead := from.owed // bytes that the owner gives before the leaf has come
	var mine int64
	for i := len(from.pending) - 1; i >= 0 && room > mine; i-- {
		leaf := from.pending[i]
		size := q.leaves[leaf].Size
		if from.eta(ahead) < stealFactor*w.eta(mine+size)+stealFloor {
			break
		}
		ahead -= size
		if q.done[leaf] || q.owners[leaf] > 1 || w.without(leaf) {
			continue
		}
		window = append(window, leaf)
		mine += size
	}
	return window
}

// came notes that the oldest leaf that w owes has come, or that w does not have it; it reports whether it was still wanted.
func (q *queue) came(w *worker, has bool, now time.Time) bool {
	leaf := w.pending[0]
	w.pending = w.pending[1:]
	size := q.leaves[leaf].Size
	w.owed -= size
	if q.owners[leaf] > 0 { // what was given back has another owner, or none
		q.owners[leaf]--
	}
	w.gap[w.came%gaps] = now.Sub(w.last)
	w.came++
	w.last, w.late = now, false
	w.counted = w.bytes.Load()
	if !has {
		if w.lacks == nil {
			w.lacks = map[int32]bool{}
		}
		w.lacks[leaf] = true
		if !q.done[leaf] && q.owners[leaf] == 0 {
			q.todo = append(q.todo, leaf)
		}
		return false
	}
	w.measure(size, now)
	if q.done[leaf] {
		return false
	}
	q.done[leaf] = true
	if slices.Contains(q.sharers, w.h) {
		q.sharedBytes += size
	}
	q.left--
	q.bytes -= size
	q.brought += size
	return true
}

// giveBack takes from a worker what it owes: others may have it. What it gives all the same counts.
func (q *queue) giveBack(w *worker) {
	for i := len(w.pending) - 1; i >= 0; i-- {
		if leaf := w.pending[i]; !q.done[leaf] && q.owners[leaf] <= 1 {
			q.owners[leaf] = 0
			q.todo = append(q.todo, leaf)
		}
	}
}

// leave ends what a worker owes, and the worker.
func (q *queue) leave(w *worker) {
	for _, leaf := range w.pending {
		if q.owners[leaf] > 0 {
			q.owners[leaf]--
		}
		if !q.done[leaf] && q.owners[leaf] == 0 {
			q.todo = append(q.todo, leaf)
		}
	}
	w.pending, w.owed = nil, 0
	q.workers = slices.DeleteFunc(q.workers, func(v *worker) bool { return v == w })
}

// late finds the workers whose next leaf is overdue and gives what they owe to others.
func (q *queue) late(now time.Time) {
	for _, w := range q.workers {
		if len(w.pending) == 0 {
			continue
		}
		if now.Sub(w.mark) > deadAfter {
			got := w.bytes.Load()
			if got-w.marked < deadBytes {
				w.die(errStalled)
			}
			w.mark, w.marked = now, got
		}
		if b := w.bytes.Load(); b != w.seen {
			w.seen, w.flowed = b, now
		}
		if patience := q.patience(w); !w.late && now.Sub(w.last) > patience && !q.flows(w, now, patience) {
			w.late = true
			w.h.m.book.stalls.Add(1)
			q.giveBack(w)
		}
	}
}

// flows says that a worker whose next leaf is overdue is slow only: it gives bytes, and enough of them.
func (q *queue) flows(w *worker, now time.Time, patience time.Duration) bool {
	got := w.bytes.Load() - w.counted
	if got <= 0 || now.Sub(w.flowed) > patience {
		return false
	}
	size := q.leaves[w.pending[0]].Size
	return float64(now.Sub(w.last))*float64(size)/float64(got) < slowFactor*float64(patience)
}

// patience is how long a worker may take for its next leaf: twice what nine of ten took, and the time its size takes.
func (q *queue) patience(w *worker) time.Duration {
	size := q.leaves[w.pending[0]].Size
	known := w
	if w.came == 0 { // nothing is known about it: measure it by the slowest of the others
		for _, v := range q.workers {
			if v.came > 0 && (known == w || v.rate < known.rate) {
				known = v
			}
		}
	}
	if known.came == 0 || known.rate == 0 {
		return lateFirst + 2*w.h.m.lag()
	}
	return max(lateFloor+2*w.h.m.lag(), 2*known.p90(), 2*duration(size, known.rate))
}

func duration(size int64, rate float64) time.Duration {
	if rate <= 0 {
		rate = 1 << 20 // a guess
	}
	return time.Duration(float64(size) / rate * float64(time.Second))
}
