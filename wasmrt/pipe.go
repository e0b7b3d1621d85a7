package wasmrt

import "encoding/binary"

const (
	// pipeSize is how many bytes a pipe holds.
	pipeSize = 64 << 10
	// pipeAtomic is how many bytes a write puts into a pipe as a whole, PIPE_BUF.
	pipeAtomic = 4096
)

// A pipe is a buffer between processes of one kernel, guarded by k.mu.
type pipe struct {
	k                *kernel
	buf              []byte
	taken            int // bytes of buf that have been read
	readers, writers int // open files, not descriptors
}

// pipeEnd is an open end of a pipe. Its reads and writes never wait: they return eBlock.
type pipeEnd struct {
	noFile
	p      *pipe
	writes bool
}

func (e *pipeEnd) stat() (info, errno)              { return info{kind: kindPipe, nlink: 1, ino: pipeIno}, eOK }
func (e *pipeEnd) pread([]byte, int64) (int, errno) { return 0, eSpipe }
func (e *pipeEnd) seek(int64, int) (int64, errno)   { return 0, eSpipe }

// pipeIno tells the library that a file is a pipe: WASI has no type for it.
const pipeIno = 2

func (e *pipeEnd) read(b []byte) (int, errno) {
	k := e.p.k
	k.mu.Lock()
	defer k.mu.Unlock()
	if e.p.len() == 0 {
		if e.p.writers == 0 || len(b) == 0 {
			return 0, eOK
		}
		return 0, eBlock
	}
	n := copy(b, e.p.buf[e.p.taken:])
	if e.p.taken += n; e.p.taken == len(e.p.buf) {
		e.p.buf, e.p.taken = e.p.buf[:0], 0
	}
	k.wake()
	return n, eOK
}

func (e *pipeEnd) close() errno {
	k := e.p.k
	k.mu.Lock()
	defer k.mu.Unlock()
	if e.writes {
		e.p.writers--
	} else {
		e.p.readers--
	}
	if e.p.readers+e.p.writers == 0 {
		k.pipes--
	}
	k.wake()
	return eOK
}

// len returns how many bytes are in the pipe, and room how many a write may put into it. The caller holds k.mu.
func (p *pipe) len() int  { return len(p.buf) - p.taken }
func (p *pipe) room() int { return pipeSize - p.len() }

// pipeCall makes a pipe.
//
//	pipe(result) errno
//
// The result is the descriptor to read from and the one to write to.
func pipeCall(p *proc, m memory, a []uint64) errno {
	if _, e := m.bytes(a[0], 8); e != eOK {
		return e
	}
	k := p.k
	k.mu.Lock()
	full := k.pipes >= maxPipes
	if !full {
		k.pipes++
	}
	k.mu.Unlock()
	if full {
		k.record.spoil("there were too many pipes")
		return eNfile
	}
	q := &pipe{k: k, readers: 1, writers: 1}
	reads, writes := &fd{opened: opened{file: &pipeEnd{p: q}}, read: true}, &fd{opened: opened{file: &pipeEnd{p: q, writes: true}}, write: true}
	r, e := p.add(reads)
	if e != eOK {
		_, _ = reads.close(), writes.close()
		return e
	}
	w, e := p.add(writes)
	if e != eOK {
		_, _ = p.closeFD(uint64(r)), writes.close()
		return e
	}
	_ = m.put32(a[0], r) // checked above
	return m.put32(a[0]+4, w)
}

// polled reports what poll_oneoff says of a pipe that is ready: how many bytes a read gets, or how many a write may put, and the flags.
func (e *pipeEnd) polled() (n uint64, flags uint16, ready bool) {
	k := e.p.k
	k.mu.Lock()
	defer k.mu.Unlock()
	if e.writes {
		if e.p.readers == 0 {
			return 0, eventHangup, true
		}
		return uint64(e.p.room()), 0, e.p.room() > 0
	}
	if e.p.writers == 0 {
		flags = eventHangup
	}
	return uint64(e.p.len()), flags, e.readable()
}

// readPipe is fd_read of a pipe.
func readPipe(p *proc, m memory, a []uint64, f *fd, end *pipeEnd) errno {
	e := each(m, a[1], a[2], a[3], end.read)
	if e != eBlock {
		return e
	}
	if f.nonblock {
		return eAgain
	}
	return p.wait(&waiting{what: "reads from a pipe", pipe: end.p, limit: -1, ready: end.readable})
}

// readable reports whether a read need not wait. The caller holds k.mu.
func (e *pipeEnd) readable() bool { return e.p.len() > 0 || e.p.writers == 0 }

// writePipe is fd_write of a pipe. It puts all bytes into the pipe, waiting for room, unless the descriptor must not wait.
func writePipe(p *proc, m memory, a []uint64, f *fd, end *pipeEnd) errno {
	n := uint64(uint32(a[2]))
	if n > maxIovs {
		return eInval
	}
	vector, e := m.bytes(a[1], n*8)
	if e != eOK {
		return e
	}
	var parts [][]byte
	total := 0
	for ; len(vector) > 0; vector = vector[8:] {
		b, e := m.bytes(uint64(binary.LittleEndian.Uint32(vector)), uint64(binary.LittleEndian.Uint32(vector[4:])))
		if e != eOK {
			return e
		}
		b = b[:min(len(b), maxTransfer-total)]
		parts = append(parts, b)
		total += len(b)
	}
	done := 0
	if p.resumed != nil {
		done = p.resumed.done
	}
	k := p.k
	k.mu.Lock()
	defer k.mu.Unlock()
	if end.p.readers == 0 {
		if done > 0 {
			return m.put32(a[3], uint32(done))
		}
		return ePipe
	}
	whole := total <= pipeAtomic
	if room := end.p.room(); room >= total-done || room > 0 && !whole {
		done += end.p.put(parts, done)
		k.wake()
	}
	if done == total || f.nonblock && done > 0 {
		return m.put32(a[3], uint32(done))
	}
	if f.nonblock {
		return eAgain
	}
	return p.wait(&waiting{
		what: "writes to a pipe", pipe: end.p, limit: -1, done: done, result: a[3],
		ready: func() bool {
			return end.p.readers == 0 || end.p.room() >= total || !whole && end.p.room() > 0
		},
	})
}

// put appends the bytes of the parts from skip on, as far as there is room, and returns how many. The caller holds k.mu.
func (p *pipe) put(parts [][]byte, skip int) int {
	p.buf = append(p.buf[:0], p.buf[p.taken:]...)
	p.taken = 0
	n := 0
	for _, b := range parts {
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		b = b[skip:]
		skip = 0
		b = b[:min(len(b), p.room())]
		p.buf = append(p.buf, b...)
		n += len(b)
	}
	return n
}
