package wasmrt

import (
	"encoding/binary"
	"io"
	"math"
)

// Bits of the WASI interface.
const (
	fdflagAppend   = 1
	fdflagNonblock = 4
	// fdflagSyncs are DSYNC, RSYNC and SYNC.
	fdflagSyncs = 2 | 8 | 16

	oflagCreat     = 1
	oflagDirectory = 2
	oflagExcl      = 4
	oflagTrunc     = 8

	timeAtim    = 1
	timeAtimNow = 2
	timeMtim    = 4
	timeMtimNow = 8
)

func (p *proc) fileAt(n uint64) (*fd, errno) {
	f, e := p.get(n)
	if e == eOK && f.file == nil {
		return nil, eIsdir
	}
	return f, e
}

// readable returns an open file that may be read, and writable one that may be written.
func (p *proc) readable(n uint64) (*fd, errno) {
	f, e := p.fileAt(n)
	if e == eOK && !f.read {
		return nil, eBadf
	}
	return f, e
}

func (p *proc) writable(n uint64) (*fd, errno) {
	f, e := p.fileAt(n)
	if e == eOK && !f.write {
		return nil, eBadf
	}
	return f, e
}

func fdClose(p *proc, _ memory, a []uint64) errno { return p.closeFD(a[0]) }

func fdAdvise(p *proc, _ memory, a []uint64) errno {
	if uint32(a[3]) > 5 {
		return eInval
	}
	_, e := p.get(a[0])
	return e
}

func fdAllocate(p *proc, _ memory, a []uint64) errno {
	f, e := p.fileAt(a[0])
	if e != eOK || !f.write {
		return eBadf
	}
	if a[2] == 0 || a[1] > math.MaxInt64 || a[2] > math.MaxInt64 {
		return eInval
	}
	if a[2] > math.MaxInt64-a[1] {
		return eFbig
	}
	i, e := f.file.stat()
	if e != eOK {
		return e
	}
	if size := int64(a[1] + a[2]); size > i.size {
		return f.file.truncate(size)
	}
	return eOK
}

func fdSync(p *proc, _ memory, a []uint64) errno {
	f, e := p.get(a[0])
	if e != eOK || f.file == nil {
		return e
	}
	return f.file.sync()
}

func fdFdstatGet(p *proc, m memory, a []uint64) errno {
	f, e := p.get(a[0])
	if e != eOK {
		return e
	}
	b, e := m.bytes(a[1], 24)
	if e != eOK {
		return e
	}
	kind, e := f.kind()
	if e != eOK {
		return e
	}
	flags := f.syncs
	if f.atEnd {
		flags |= fdflagAppend
	}
	if f.nonblock {
		flags |= fdflagNonblock
	}
	rights, inherit := f.rights(kind)
	clear(b)
	b[0] = kind.wasi()
	binary.LittleEndian.PutUint16(b[2:], flags)
	binary.LittleEndian.PutUint64(b[8:], rights)
	binary.LittleEndian.PutUint64(b[16:], inherit)
	return eOK
}

func fdFdstatSetFlags(p *proc, _ memory, a []uint64) errno {
	f, e := p.get(a[0])
	if e != eOK {
		return e
	}
	// As with fcntl(2), a program chooses synchronous writes when it opens a file, and cannot change that afterwards.
	if flags := uint32(a[1]); flags&^(fdflagAppend|fdflagNonblock|fdflagSyncs) != 0 || uint16(flags)&fdflagSyncs != f.syncs {
		return eInval
	}
	f.atEnd = a[1]&fdflagAppend != 0
	f.nonblock = a[1]&fdflagNonblock != 0 // files never block
	return eOK
}

func fdFilestatSetSize(p *proc, _ memory, a []uint64) errno {
	f, e := p.fileAt(a[0])
	if e != eOK {
		return eBadf
	}
	if !f.write || a[1] > math.MaxInt64 {
		return eInval
	}
	return f.file.truncate(int64(a[1]))
}

// maxIovs is POSIX's usual IOV_MAX.
const maxIovs = 1024

// maxTransfer is how many bytes one call reads or writes at most: the sum must fit the program's ssize_t.
const maxTransfer = math.MaxInt32

// each calls fn with the buffers of a vector until fn does not use a whole buffer, and stores the sum of fn's counts.
func each(m memory, iovs, count, result uint64, fn func(b []byte) (int, errno)) errno {
	n := uint64(uint32(count))
	if n > maxIovs {
		return eInval
	}
	v, e := m.bytes(iovs, n*8)
	if e != eOK {
		return e
	}
	var total uint32
	for i := range n {
		ptr, size := binary.LittleEndian.Uint32(v[i*8:]), binary.LittleEndian.Uint32(v[i*8+4:])
		b, e := m.bytes(uint64(ptr), uint64(size))
		if e != eOK {
			return e
		}
		if len(b) == 0 && n > 1 {
			continue
		}
		b = b[:min(len(b), int(maxTransfer-total))]
		k, e := fn(b)
		total += uint32(k)
		if e != eOK {
			if total > 0 {
				break
			}
			return e
		}
		if k < int(size) {
			break
		}
	}
	return m.put32(result, total)
}

func fdRead(p *proc, m memory, a []uint64) errno {
	f, e := p.readable(a[0])
	if e != eOK {
		return e
	}
	if end, ok := f.file.(*pipeEnd); ok {
		return readPipe(p, m, a, f, end)
	}
	if s, ok := f.file.(*socket); ok {
		return readSocket(p, m, a[1], a[2], a[3], f, s, false)
	}
	if w := p.waitReadable(f); w != nil {
		return p.wait(w)
	}
	return each(m, a[1], a[2], a[3], f.file.read)
}

func fdPread(p *proc, m memory, a []uint64) errno {
	f, e := p.readable(a[0])
	if e != eOK {
		return e
	}
	off := int64(a[3])
	if off < 0 {
		return eInval
	}
	return each(m, a[1], a[2], a[4], func(b []byte) (int, errno) {
		n, e := f.file.pread(b, off)
		off += int64(n)
		return n, e
	})
}

func fdWrite(p *proc, m memory, a []uint64) errno {
	f, e := p.writable(a[0])
	if e != eOK {
		return e
	}
	if end, ok := f.file.(*pipeEnd); ok {
		return writePipe(p, m, a, f, end)
	}
	if s, ok := f.file.(*socket); ok {
		return writeSocket(p, m, a[1], a[2], a[3], f, s)
	}
	return each(m, a[1], a[2], a[3], func(b []byte) (int, errno) {
		n, e := f.file.write(b, f.atEnd)
		if e == eOK && f.syncs != 0 {
			e = f.file.sync()
		}
		if s, ok := f.file.(*stream); ok && s.fatal() != nil {
			p.fatal = s.fatal()
		}
		return n, e
	})
}

func fdPwrite(p *proc, m memory, a []uint64) errno {
	f, e := p.writable(a[0])
	if e != eOK {
		return e
	}
	off := int64(a[3])
	if off < 0 {
		return eInval
	}
	return each(m, a[1], a[2], a[4], func(b []byte) (int, errno) {
		n, e := f.file.pwrite(b, off)
		if e == eOK && f.syncs != 0 {
			e = f.file.sync()
		}
		off += int64(n)
		return n, e
	})
}

func fdSeek(p *proc, m memory, a []uint64) errno {
	f, e := p.get(a[0])
	if e != eOK {
		return e
	}
	if f.file == nil {
		return eBadf
	}
	if uint32(a[2]) > 2 {
		return eInval
	}
	n, e := f.file.seek(int64(a[1]), int(uint32(a[2])))
	if e != eOK {
		return e
	}
	return m.put64(a[3], uint64(n))
}

func fdTell(p *proc, m memory, a []uint64) errno {
	f, e := p.get(a[0])
	if e != eOK {
		return e
	}
	if f.file == nil {
		return eBadf
	}
	n, e := f.file.seek(0, io.SeekCurrent)
	if e != eOK {
		return e
	}
	return m.put64(a[1], uint64(n))
}

func fdRenumber(p *proc, _ memory, a []uint64) errno {
	f, e := p.own(a[0])
	if e != eOK {
		return e
	}
	if _, e := p.own(a[1]); e != eOK {
		return e
	}
	if uint32(a[0]) == uint32(a[1]) {
		return eOK
	}
	if e := p.closeFD(a[1]); e != eOK {
		return e
	}
	from, to := int(uint32(a[0])), int(uint32(a[1]))
	p.fds[from], p.fds[to] = nil, f
	p.lowest = 0
	return eOK
}
