package wasmrt

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
		e.p.drop(&e.p.writers)
	} else {
		e.p.drop(&e.p.readers)
	}
	k.wake()
	return eOK
}

// drop counts one open end less, of readers or writers. The caller holds k.mu.
func (p *pipe) drop(ends *int) {
	*ends--
	if p.readers+p.writers == 0 {
		p.k.pipes--
	}
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
	q, e := p.k.newPipe()
	if e != eOK {
		p.k.record.spoil("there were too many pipes")
		return e
	}
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

// newPipe returns a pipe with two open ends.
func (k *kernel) newPipe() (*pipe, errno) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pipes >= maxPipes {
		return nil, eNfile
	}
	k.pipes++
	return &pipe{k: k, readers: 1, writers: 1}, eOK
}

// pidfdCall opens a descriptor of a child.
//
//	pidfd(pid) descriptor or -errno
//
// It is a pipe that is at its end when the child has ended, so a program can wait for children and pipes with one poll. The caller still has to
// wait for the child.
func pidfdCall(p *proc, _ memory, a []uint64) errno {
	q, e := p.k.newPipe()
	if e != eOK {
		p.k.record.spoil("there were too many pipes")
		return negative(e)
	}
	reads := &fd{opened: opened{file: &pipeEnd{p: q}}, read: true, cloexec: true}
	n, e := p.add(reads)
	k := p.k
	k.mu.Lock()
	defer k.mu.Unlock()
	if e != eOK {
		q.readers = 0
		q.drop(&q.writers)
		return negative(e)
	}
	for _, c := range p.children {
		if c.pid != int(int32(a[0])) {
			continue
		}
		if c.exited {
			q.drop(&q.writers)
		} else {
			c.lifelines = append(c.lifelines, q)
		}
		return errno(n)
	}
	q.drop(&q.writers)
	p.fds[n], p.lowest = nil, min(p.lowest, int(n))
	q.drop(&q.readers)
	return negative(eChild)
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
	parts, total, e := vector(m, a[1], a[2])
	if e != eOK {
		return e
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
