package wasmrt

func (p *proc) pathArg(m memory, dir, ptr, n uint64) (base, name string, e errno) {
	name, e = m.str(ptr, n)
	if e != eOK {
		return "", "", e
	}
	if name == "" {
		return "", "", eNoent
	}
	if name[0] == '/' {
		// A path in a call is relative to a directory; only the targets of links may be absolute.
		return "", "", ePerm
	}
	return p.dirAt(dir, name)
}

func pathOpen(p *proc, m memory, a []uint64) errno {
	base, name, e := p.pathArg(m, a[0], a[2], a[3])
	if e != eOK {
		return e
	}
	oflags, rights, fdflags := uint32(a[4]), a[5], uint32(a[7])
	r := openRequest{
		create:    oflags&oflagCreat != 0,
		directory: oflags&oflagDirectory != 0,
		follow:    a[1]&1 != 0,
	}
	if r.create && r.directory {
		return eInval
	}
	read, write := rights&rightRead != 0, rights&rightWrite != 0
	from, e := p.get(a[0])
	if e != eOK {
		return e
	}
	if r.create && from.lost&rightCreate != 0 || oflags&oflagTrunc != 0 && from.lost&rightPathSetSize != 0 {
		return eNotcapable
	}
	if oflags&oflagTrunc != 0 {
		r.flag |= openTrunc
		write = true
	}
	if !read && !write {
		// Only the requested rights say how a program will use the file, and some programs request none.
		read, write = true, r.create || fdflags&fdflagAppend != 0
	}
	if read {
		r.flag |= openRead
	}
	if write {
		r.flag |= openWrite
	}
	if oflags&oflagExcl != 0 && r.create {
		r.flag |= openExcl
	}
	o, e := p.fs.open(base, name, r)
	if e != eOK {
		return e
	}
	f := &fd{
		opened: o, read: read, write: write, atEnd: fdflags&fdflagAppend != 0, nonblock: fdflags&fdflagNonblock != 0,
		syncs: uint16(fdflags & fdflagSyncs), lost: from.lostBelow, lostBelow: from.lostBelow,
	}
	if open, ok := p.descriptorAt(o.path); ok {
		if f, e = open.reopen(r.flag, f.atEnd, f.nonblock); e != eOK {
			return e
		}
	}
	n, e := p.add(f)
	if e != eOK {
		_ = f.release() // not close: it may be another descriptor's file
		return e
	}
	if e := m.put32(a[8], n); e != eOK {
		p.closeFD(uint64(n))
		return e
	}
	return eOK
}

func pathFilestatGet(p *proc, m memory, a []uint64) errno {
	base, name, e := p.pathArg(m, a[0], a[2], a[3])
	if e != eOK {
		return e
	}
	l, e := p.fs.walk(base, name, a[1]&1 != 0)
	if e != eOK {
		return e
	}
	if f, ok := p.descriptorAt(l.path); ok {
		if f == nil {
			return eNoent
		}
		if f.file != nil {
			if l.info, e = f.file.stat(); e != eOK {
				return e
			}
		}
	}
	return putStat(m, a[4], l.info)
}

func pathFilestatSetTimes(p *proc, m memory, a []uint64) errno {
	base, name, e := p.pathArg(m, a[0], a[2], a[3])
	if e != eOK {
		return e
	}
	atime, mtime, e := p.times(a[4], a[5], uint64(uint32(a[6])))
	if e != eOK {
		return e
	}
	l, e := p.fs.walk(base, name, a[1]&1 != 0)
	if e != eOK {
		return e
	}
	mt, rel := p.fs.cover(l.path)
	if mt == nil {
		return eRofs
	}
	return mt.b.chtimes(rel, atime, mtime)
}

// executable returns the target of /proc/self/exe, which programs with processes read to find the files of their packages: argv[0] may be any name.
// Other programs have none.
func (p *proc) executable(base, name string) (target string, ok bool) {
	return p.exe, p.exe != "" && join(base, name) == "/proc/self/exe"
}

func pathReadlink(p *proc, m memory, a []uint64) errno {
	base, name, e := p.pathArg(m, a[0], a[1], a[2])
	if e != eOK {
		return e
	}
	target, ok := p.executable(base, name)
	if !ok {
		l, e := p.fs.walk(base, name, false)
		if e != eOK {
			return e
		}
		if l.info.kind != kindSymlink {
			return eInval
		}
		mt, rel := p.fs.cover(l.path)
		if target, e = mt.b.readlink(rel); e != eOK {
			return e
		}
	}
	buf, e := m.bytes(a[3], a[4])
	if e != eOK {
		return e
	}
	return m.put32(a[5], uint32(copy(buf, target)))
}

// change finds the mount and path of a name to be created or removed.
// exists says whether the name must exist; otherwise it must not.
func (p *proc) change(base, name string, exists bool) (m *mount, rel string, l spot, e errno) {
	l, e = p.fs.parent(base, name)
	switch {
	case e == eNoent && l.path == "":
		return nil, "", l, eNoent
	case e == eNoent && exists, e != eOK && e != eNoent:
		return nil, "", l, e
	case e == eOK && !exists:
		return nil, "", l, eExist
	}
	if exists && p.fs.under(l.path) {
		return nil, "", l, eBusy
	}
	m, rel = p.fs.cover(l.path)
	if m == nil {
		return nil, "", l, eRofs
	}
	return m, rel, l, eOK
}

func pathCreateDirectory(p *proc, m memory, a []uint64) errno {
	base, name, e := p.pathArg(m, a[0], a[1], a[2])
	if e != eOK {
		return e
	}
	mt, rel, _, e := p.change(base, name, false)
	if e != eOK {
		if e == eBusy || e == eInval || e == eNotempty { // the path is "/", or ends in "." or ".."
			return eExist
		}
		return e
	}
	return mt.b.mkdir(rel)
}

func pathRemoveDirectory(p *proc, m memory, a []uint64) errno {
	base, name, e := p.pathArg(m, a[0], a[1], a[2])
	if e != eOK {
		return e
	}
	mt, rel, l, e := p.change(base, name, true)
	if e != eOK {
		return e
	}
	if l.info.kind != kindDir {
		return eNotdir
	}
	return mt.b.rmdir(rel)
}

func pathUnlinkFile(p *proc, m memory, a []uint64) errno {
	base, name, e := p.pathArg(m, a[0], a[1], a[2])
	if e != eOK {
		return e
	}
	mt, rel, l, e := p.change(base, name, true)
	if e != eOK {
		return e
	}
	if l.info.kind == kindDir {
		return eIsdir
	}
	if l.slash {
		return eNotdir
	}
	return mt.b.unlink(rel)
}

func pathSymlink(p *proc, m memory, a []uint64) errno {
	target, e := m.str(a[0], a[1])
	if e != eOK {
		return e
	}
	if target == "" {
		return eNoent
	}
	base, name, e := p.pathArg(m, a[2], a[3], a[4])
	if e != eOK {
		return e
	}
	for i := range len(target) {
		if target[i] == 0 {
			return eInval
		}
	}
	mt, rel, l, e := p.change(base, name, false)
	if e != eOK {
		return e
	}
	if l.slash {
		return eNoent
	}
	return mt.b.symlink(target, rel)
}

func pathLink(p *proc, m memory, a []uint64) errno {
	base, name, e := p.pathArg(m, a[0], a[2], a[3])
	if e != eOK {
		return e
	}
	toBase, to, e := p.pathArg(m, a[4], a[5], a[6])
	if e != eOK {
		return e
	}
	from, e := p.fs.walk(base, name, a[1]&1 != 0)
	if e != eOK {
		return e
	}
	if from.info.kind == kindDir {
		return ePerm
	}
	mt, rel, l, e := p.change(toBase, to, false)
	if e != eOK {
		return e
	}
	if l.slash {
		return eNoent
	}
	src, srcRel := p.fs.cover(from.path)
	if src == nil || src.b != mt.b {
		return eXdev
	}
	return mt.b.link(srcRel, rel)
}

func pathRename(p *proc, m memory, a []uint64) errno {
	base, name, e := p.pathArg(m, a[0], a[1], a[2])
	if e != eOK {
		return e
	}
	toBase, to, e := p.pathArg(m, a[3], a[4], a[5])
	if e != eOK {
		return e
	}
	src, rel, from, e := p.change(base, name, true)
	if e != eOK {
		return e
	}
	l, e := p.fs.parent(toBase, to)
	if e != eOK && (e != eNoent || l.path == "") {
		return e
	}
	if p.fs.under(l.path) {
		return eBusy
	}
	if from.info.kind != kindDir && (from.slash || l.slash) {
		return eNotdir
	}
	if e == eOK {
		switch {
		case from.info.kind == kindDir && l.info.kind != kindDir:
			return eNotdir
		case from.info.kind != kindDir && l.info.kind == kindDir:
			return eIsdir
		}
	}
	dst, dstRel := p.fs.cover(l.path)
	if dst == nil {
		return eRofs
	}
	if src.b != dst.b {
		return eXdev
	}
	return src.b.rename(rel, dstRel)
}
