package wasmrt

import (
	"context"
	"encoding/binary"
	"time"
)

// Bits of wasi-libc's struct pollfd.
const (
	pollIn      = 1
	pollOut     = 2
	pollError   = 0x1000
	pollHangup  = 0x2000
	pollInvalid = 0x4000
)

// A polled is one entry of a poll.
type polled struct {
	f       *fd
	e       errno
	events  uint16
	in, out awaited // what of the host a read and a write may wait for
}

// pollCall waits for descriptors.
//
//	poll(fds, n, milliseconds) number of ready ones or -errno
//
// fds is an array of struct pollfd: i32 fd, i16 events, i16 revents.
func pollCall(p *proc, m memory, a []uint64) errno {
	n := uint64(uint32(a[1]))
	if n > maxPoll {
		return negative(eInval)
	}
	b, e := m.bytes(a[0], n*8)
	if e != eOK {
		return negative(e)
	}
	list := make([]polled, n)
	for i := range list {
		number, events := int32(binary.LittleEndian.Uint32(b[i*8:])), binary.LittleEndian.Uint16(b[i*8+4:])
		if number < 0 {
			continue
		}
		list[i].events = events
		if list[i].f, list[i].e = p.get(uint64(uint32(number))); list[i].e == eOK {
			list[i].in, list[i].out = p.waitsFor(list[i].f, false), p.waitsFor(list[i].f, true)
		}
	}
	files := hostFiles(list)
	hostReady := p.hostReady(files)
	k := p.k
	k.mu.Lock()
	defer k.mu.Unlock()
	count := errno(0)
	for i, q := range list {
		r := q.revents(hostReady)
		binary.LittleEndian.PutUint16(b[i*8+6:], r)
		if r != 0 {
			count++
		}
	}
	limit := time.Duration(int32(a[2])) * time.Millisecond
	w := p.resumed
	if count > 0 || limit == 0 || w != nil && w.timedOut() {
		if count == 0 {
			p.clock.passed(limit)
		}
		return count
	}
	if w == nil || w.used() {
		old := w
		w = &waiting{what: "polls", limit: limit}
		if old != nil {
			w.until = old.until
		} else if limit > 0 && p.clock.real {
			w.until = time.Now().Add(limit)
		}
		w.watch(p, files)
	}
	w.ready = func() bool {
		for _, q := range list {
			if q.revents(w.hostReady) != 0 {
				return true
			}
		}
		return false
	}
	for _, q := range list {
		if q.f == nil {
			continue
		}
		if end, ok := pipeOf(q.f); ok {
			w.pipe, w.what = end.p, "polls a pipe"
		}
	}
	return p.wait(w)
}

// revents returns what a descriptor is ready for. The caller holds k.mu.
func (q *polled) revents(hostReady map[awaited]bool) uint16 {
	switch {
	case q.f == nil && q.e == eOK: // an entry that is not used
		return 0
	case q.e != eOK:
		return pollInvalid
	}
	end, ok := pipeOf(q.f)
	switch {
	case !ok:
		r := uint16(0)
		if q.in.none() || hostReady[q.in] {
			r = pollIn
		}
		if q.out.none() || hostReady[q.out] {
			r |= pollOut
		}
		return q.events & r
	case end.writes && end.p.readers == 0:
		return pollError
	case end.writes && end.p.room() > 0:
		return q.events & pollOut
	case end.writes:
		return 0
	}
	r := uint16(0)
	if end.p.len() > 0 {
		r = q.events & pollIn
	}
	if end.p.writers == 0 {
		r |= pollHangup
	}
	return r
}

// hostFiles returns what of the host a poll waits for.
func hostFiles(list []polled) []awaited {
	var files []awaited
	for _, q := range list {
		if !q.in.none() && q.events&pollIn != 0 {
			files = append(files, q.in)
		}
		if !q.out.none() && q.events&pollOut != 0 {
			files = append(files, q.out)
		}
	}
	return files
}

// hostReady returns which files need not wait now.
func (p *proc) hostReady(files []awaited) map[awaited]bool {
	if len(files) == 0 {
		return nil
	}
	ready, e := hostPoll(p.ctx, files, 0)
	out := map[awaited]bool{}
	for i, f := range files {
		out[f] = e != eOK || ready[i].ok
	}
	return out
}

// waitPolling is what poll_oneoff waits for in a kernel if nothing is ready. It returns nil if the first clock event is due.
// With the fixed clock a sleep takes no time, but other processes of the image may run meanwhile.
func (p *proc) waitPolling(subs []subscription, files []awaited, first time.Duration) *waiting {
	old := p.resumed
	if old != nil {
		p.k.mu.Lock()
		over, used := old.timedOut() || old.what == sleeps, old.used()
		p.k.mu.Unlock()
		if over {
			return nil
		}
		if !used {
			return old
		}
	}
	var ends []*pipeEnd
	for _, s := range subs {
		if s.pipe != nil && s.err == eOK {
			ends = append(ends, s.pipe)
		}
	}
	w := &waiting{what: "polls", limit: first}
	switch {
	case len(ends) == 0 && len(files) == 0 && !p.clock.real:
		w.what, w.ready = sleeps, func() bool { return true }
		return w
	case old != nil:
		w.until = old.until
	case first >= 0 && p.clock.real:
		w.until = time.Now().Add(first)
	}
	if len(ends) > 0 {
		w.pipe, w.what = ends[0].p, "polls a pipe"
	}
	w.watch(p, files)
	w.ready = func() bool {
		for _, e := range ends {
			if e.pollable() {
				return true
			}
		}
		for _, ok := range w.hostReady {
			if ok {
				return true
			}
		}
		return false
	}
	return w
}

// waitReadable is what a read of a terminal or pipe of the host waits for in a kernel, where other processes of the image may run meanwhile. It returns
// nil if the read may begin.
func (p *proc) waitReadable(f *fd) *waiting {
	if p.k == nil {
		return nil
	}
	host := p.waitsFor(f, false)
	if host.none() {
		return nil
	}
	files := []awaited{host}
	if p.hostReady(files)[host] {
		return nil
	}
	w := &waiting{what: "reads from outside", limit: -1}
	w.watch(p, files)
	w.ready = func() bool { return w.hostReady[host] }
	return w
}

// sleeps is what a process waits for that lets others run.
const sleeps = "sleeps"

// pollable reports whether a call with the pipe need not wait. The caller holds k.mu.
func (e *pipeEnd) pollable() bool {
	if e.writes {
		return e.p.readers == 0 || e.p.room() > 0
	}
	return e.readable()
}

// timedOut reports whether the time of a wait has passed. The caller holds k.mu.
func (w *waiting) timedOut() bool {
	return w.expired || w.limit >= 0 && !w.until.IsZero() && !time.Now().Before(w.until)
}

// used reports whether what was watched was ready once, and was gone when the call was made again: it has to be watched again. The caller holds k.mu.
func (w *waiting) used() bool {
	for _, ready := range w.hostReady {
		if ready {
			return true
		}
	}
	return false
}

// watch waits for files of the host on a goroutine of its own, and wakes the kernel when one of them need not wait.
func (w *waiting) watch(p *proc, files []awaited) {
	if len(files) == 0 {
		return
	}
	w.outside = true
	w.hostReady = map[awaited]bool{}
	ctx, cancel := context.WithCancel(p.ctx)
	w.cancel = cancel
	k := p.k
	k.wg.Go(func() {
		ready, e := hostPoll(ctx, files, -1)
		k.mu.Lock()
		defer k.mu.Unlock()
		for i, f := range files {
			w.hostReady[f] = e != eOK || ready[i].ok
		}
		k.wake()
	})
}
