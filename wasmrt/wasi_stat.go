package wasmrt

import (
	"encoding/binary"
	"math"
)

func (p *proc) statFD(f *fd) (info, errno) {
	if f.file == nil {
		at, e := f.where()
		if e != eOK { // a removed directory that is still open
			return p.fs.fill(f.path, info{kind: kindDir}), eOK
		}
		i, e := p.fs.lstat(at)
		return i, e
	}
	i, e := f.file.stat()
	if e == eOK && i.ino == 0 {
		i.ino = f.ino
	}
	return p.fs.fill(f.path, i), e
}

func putStat(m memory, ptr uint64, i info) errno {
	b, e := m.bytes(ptr, 64)
	if e != eOK {
		return e
	}
	clear(b)
	binary.LittleEndian.PutUint64(b, max(i.dev, 1))
	binary.LittleEndian.PutUint64(b[8:], i.ino)
	b[16] = i.kind.wasi()
	// WASI has no modes. toolchain/posix finds one in the padding, where other programs do not look.
	mode := uint16(0o644)
	if i.exec || i.kind == kindDir {
		mode = 0o755
	}
	binary.LittleEndian.PutUint16(b[18:], mode)
	binary.LittleEndian.PutUint64(b[24:], i.nlink)
	binary.LittleEndian.PutUint64(b[32:], uint64(i.size))
	binary.LittleEndian.PutUint64(b[40:], uint64(i.atime))
	binary.LittleEndian.PutUint64(b[48:], uint64(i.mtime))
	binary.LittleEndian.PutUint64(b[56:], uint64(i.ctime))
	return eOK
}

func fdFilestatGet(p *proc, m memory, a []uint64) errno {
	f, e := p.get(a[0])
	if e != eOK {
		return e
	}
	i, e := p.statFD(f)
	if e != eOK {
		return e
	}
	return putStat(m, a[1], i)
}

// times reads the arguments of a call that sets times; a negative time means no change.
func (p *proc) times(atim, mtim, flags uint64) (atime, mtime int64, e errno) {
	atime, mtime = -1, -1
	if flags&timeAtim != 0 && flags&timeAtimNow != 0 || flags&timeMtim != 0 && flags&timeMtimNow != 0 || flags > 15 {
		return 0, 0, eInval
	}
	if flags&timeAtim != 0 {
		atime = int64(atim & math.MaxInt64)
	}
	if flags&timeMtim != 0 {
		mtime = int64(mtim & math.MaxInt64)
	}
	if flags&timeAtimNow != 0 {
		atime = p.clock.wall()
	}
	if flags&timeMtimNow != 0 {
		mtime = p.clock.wall()
	}
	return atime, mtime, eOK
}

func fdFilestatSetTimes(p *proc, _ memory, a []uint64) errno {
	f, e := p.get(a[0])
	if e != eOK {
		return e
	}
	atime, mtime, e := p.times(a[1], a[2], uint64(uint32(a[3])))
	if e != eOK {
		return e
	}
	if f.file != nil {
		return f.file.chtimes(atime, mtime)
	}
	at, e := f.where()
	if e != eOK {
		return e
	}
	mt, rel := p.fs.cover(at)
	if mt == nil {
		return eRofs
	}
	return mt.b.chtimes(rel, atime, mtime)
}
