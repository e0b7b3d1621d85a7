package wasmrt

import (
	"encoding/binary"
	"math"
	"os"
	"time"
)

const (
	// maxPoll is the maximum number of events in one poll.
	maxPoll = 4096

	eventClock = 0
	eventRead  = 1
	eventWrite = 2

	eventHangup = 1
)

// A subscription is one event that a poll waits for.
type subscription struct {
	user uint64
	kind byte
	// at is the time from now at which a clock event is due.
	at time.Duration
	// host is what of the host the event waits for, none if the read or write never blocks.
	host awaited
	pipe *pipeEnd // a pipe of a kernel
	fd   *fd
	err  errno
}

func (p *proc) subscription(s []byte) subscription {
	sub := subscription{user: binary.LittleEndian.Uint64(s), kind: s[8]}
	switch sub.kind {
	case eventClock:
		id := binary.LittleEndian.Uint32(s[16:])
		if id > 3 {
			sub.err = eInval
			break
		}
		at := min(binary.LittleEndian.Uint64(s[24:]), math.MaxInt64)
		sub.at = time.Duration(at)
		if binary.LittleEndian.Uint16(s[40:])&1 != 0 { // an absolute time
			now := p.clock.monotonic()
			if id == 0 {
				now = p.clock.wall()
			}
			sub.at = max(sub.at-time.Duration(now), 0)
		}
	case eventRead, eventWrite:
		sub.fd, sub.err = p.get(uint64(binary.LittleEndian.Uint32(s[16:])))
		if sub.err == eOK && sub.fd.lost&rightPoll != 0 {
			sub.err = eNotcapable
		}
		if sub.err == eOK {
			sub.pipe, _ = pipeOf(sub.fd)
		}
		if sub.err == eOK {
			sub.host = p.waitsFor(sub.fd, sub.kind == eventWrite)
		}
	default:
		sub.err = eInval
	}
	return sub
}

// An awaited is something of the host that a call may wait for: to read from a file, or to use a socket.
type awaited struct {
	file  *os.File
	sock  *socket
	write bool
}

func (a awaited) none() bool { return a.file == nil && a.sock == nil }

// waitsFor returns what of the host a read or write of a descriptor may wait for.
// With the fixed clock a read of a file is always ready, so that the result depends only on what the program does. Whoever gives a program a terminal does not want that.
func (p *proc) waitsFor(f *fd, write bool) awaited {
	switch s := f.file.(type) {
	case *socket:
		return awaited{sock: s, write: write}
	case *stream:
		if (p.clock.real || s.kind == kindTTY) && s.kind != kindFile && !write {
			return awaited{file: s.f}
		}
	}
	return awaited{}
}

// put writes the event of a subscription that is ready or has failed.
func (s subscription) put(b []byte, count uint64, flags uint16) {
	clear(b)
	binary.LittleEndian.PutUint64(b, s.user)
	binary.LittleEndian.PutUint16(b[8:], uint16(s.err))
	b[10] = s.kind
	if s.kind != eventClock && s.err == eOK {
		binary.LittleEndian.PutUint64(b[16:], count)
		binary.LittleEndian.PutUint16(b[24:], flags)
	}
}

// pollOneoff waits until the first clock or file of its subscriptions is ready.
// It waits for sockets, and for a terminal or pipe that is a standard stream; every other file is always ready.
func pollOneoff(p *proc, m memory, a []uint64) errno {
	n := uint64(uint32(a[2]))
	if n == 0 || n > maxPoll {
		return eInval
	}
	in, e := m.bytes(a[0], n*48)
	if e != eOK {
		return e
	}
	out, e := m.bytes(a[1], n*32)
	if e != eOK {
		return e
	}
	subs := make([]subscription, n) // read before the first event is written: the two buffers may overlap
	for i := range subs {
		subs[i] = p.subscription(in[i*48:][:48])
	}
	count := 0
	event := func(s subscription, ready uint64, flags uint16) {
		s.put(out[count*32:][:32], ready, flags)
		count++
	}
	first := time.Duration(-1)
	var files []awaited
	for _, s := range subs {
		switch {
		case s.err == eOK && s.pipe != nil:
			if n, flags, ok := s.pipe.polled(); ok {
				event(s, n, flags)
			}
		case s.err != eOK || s.kind != eventClock && s.host.none():
			event(s, s.unread(), 0)
		case s.kind == eventClock && (first < 0 || s.at < first):
			first = s.at
		case !s.host.none():
			files = append(files, s.host)
		}
	}
	if count > 0 { // an event is ready: only add others that are ready now
		first = 0
	}
	limit := first
	if p.k != nil { // other processes of the image may run meanwhile
		limit = 0
	}
	var ready []readiness
	if len(files) > 0 {
		if ready, e = hostPoll(p.ctx, files, limit); e != eOK {
			return e
		}
	} else if count == 0 && p.k == nil {
		p.clock.sleep(p.ctx, first)
	}
	i, found := 0, count > 0
	for _, s := range subs {
		if s.err != eOK || s.host.none() {
			continue
		}
		if r := ready[i]; r.ok {
			event(s, r.count, r.flags)
			found = true
		}
		i++
	}
	if !found && p.k != nil {
		if w := p.waitPolling(subs, files, first); w != nil {
			return p.wait(w)
		}
		p.clock.passed(first)
	}
	if !found {
		for _, s := range subs {
			if s.kind == eventClock && s.err == eOK && s.at <= first {
				event(s, 0, 0)
			}
		}
	}
	return m.put32(a[3], uint32(count))
}

// unread returns how many bytes a read gets without waiting, at least one.
func (s subscription) unread() uint64 {
	if s.kind != eventRead || s.err != eOK || s.fd.file == nil {
		return 1
	}
	i, e := s.fd.file.stat()
	at, e2 := s.fd.file.seek(0, 1)
	if e != eOK || e2 != eOK || i.kind != kindFile {
		return 1
	}
	return uint64(max(i.size-at, 1))
}

// readiness is hostPoll's result for one file.
type readiness struct {
	ok    bool
	count uint64
	flags uint16
}
