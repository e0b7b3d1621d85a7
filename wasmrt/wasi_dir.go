package wasmrt

import (
	"encoding/binary"
	"path"
)

func fdPrestatGet(p *proc, m memory, a []uint64) errno {
	f, e := p.get(a[0])
	if e != eOK {
		return e
	}
	if _, ok := f.file.(*socket); ok {
		return m.put64(a[1], 1) // a type that libraries pass over, to look for folders behind it
	}
	if f.preopen == "" {
		return eBadf
	}
	return m.put64(a[1], uint64(len(f.preopen))<<32) // tag 0: directory
}

func fdPrestatDirName(p *proc, m memory, a []uint64) errno {
	f, e := p.get(a[0])
	if e != eOK {
		return e
	}
	if f.preopen == "" {
		return eBadf
	}
	if uint32(a[2]) < uint32(len(f.preopen)) {
		return eNametoolong
	}
	b, e := m.bytes(a[1], uint64(len(f.preopen)))
	copy(b, f.preopen)
	return e
}

// fdReaddir lists the directory as it was at the first read, or at the last read from the start. So if files are created
// or removed meanwhile, no name is skipped or repeated.
func fdReaddir(p *proc, m memory, a []uint64) errno {
	f, e := p.get(a[0])
	if e != eOK {
		return e
	}
	if f.file != nil {
		return eNotdir
	}
	buf, e := m.bytes(a[1], a[2])
	if e != eOK {
		return e
	}
	cookie := a[3]
	if cookie == 0 || !f.listed {
		at, e := f.where()
		if e != eOK {
			return e
		}
		list, e := p.fs.readdir(at)
		if e != eOK {
			return e
		}
		self, up := p.fs.inoAt(at), p.fs.inoAt(path.Dir(at))
		f.list = append([]dirent{{name: ".", kind: kindDir, ino: self}, {name: "..", kind: kindDir, ino: up}}, list...)
		f.listed = true
	}
	used := 0
	var head [24]byte
	for i := cookie; i < uint64(len(f.list)) && used < len(buf); i++ {
		d := f.list[i]
		binary.LittleEndian.PutUint64(head[:], i+1)
		binary.LittleEndian.PutUint64(head[8:], d.ino)
		binary.LittleEndian.PutUint32(head[16:], uint32(len(d.name)))
		head[20] = d.kind.wasi()
		used += copy(buf[used:], head[:])
		used += copy(buf[used:], d.name)
	}
	return m.put32(a[4], uint32(used))
}
