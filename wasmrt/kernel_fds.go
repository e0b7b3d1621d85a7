package wasmrt

// Programs made for processes get no preopened directories, so that the descriptors from 3 on are theirs. These two numbers are the directories that paths
// begin at. They are not in the table of descriptors.
const (
	fdRoot = 0x7fffff00
	fdCwd  = 0x7fffff01
)

// standing returns the directory that fdRoot and fdCwd mean.
func (p *proc) standing(n uint64) (string, bool) {
	switch uint32(n) {
	case fdRoot:
		return "/", p.k != nil
	case fdCwd:
		return p.cwd, p.k != nil
	}
	return "", false
}

// directory returns the path without links of a directory.
func (p *proc) directory(name string) (string, errno) {
	l, e := p.fs.walk(p.cwd, name, true)
	if e == eOK && l.info.kind != kindDir {
		e = eNotdir
	}
	return l.path, e
}

// dupCall is dup(fd, least, cloexec) → descriptor or -errno: the lowest free number from least on.
func dupCall(p *proc, _ memory, a []uint64) errno {
	f, e := p.own(a[0])
	if e != eOK {
		return negative(e)
	}
	n := int64(uint32(a[1]))
	if n >= maxOpen {
		return negative(eInval)
	}
	for n < int64(len(p.fds)) && p.fds[n] != nil {
		n++
	}
	if n >= maxOpen {
		return negative(eMfile)
	}
	c := f.dup()
	c.cloexec = uint32(a[2]) != 0
	p.put(int(n), c)
	return errno(n)
}

// dup2Call is dup2(fd, to, cloexec) → descriptor or -errno.
func dup2Call(p *proc, _ memory, a []uint64) errno {
	f, e := p.own(a[0])
	if e != eOK {
		return negative(e)
	}
	to := uint32(a[1])
	if to >= maxOpen {
		return negative(eBadf)
	}
	if uint32(a[0]) != to {
		c := f.dup()
		c.cloexec = uint32(a[2]) != 0
		p.put(int(to), c)
	}
	return errno(to)
}

// cloexecCall is cloexec(fd, value) → old value or -errno. The value -1 only reads.
func cloexecCall(p *proc, _ memory, a []uint64) errno {
	f, e := p.own(a[0])
	if e != eOK {
		return negative(e)
	}
	old := f.cloexec
	if v := int32(a[1]); v >= 0 {
		f.cloexec = v != 0
	}
	if old {
		return 1
	}
	return 0
}

// chdirCall is chdir(path, len) → errno, and fchdirCall fchdir(fd) → errno.
func chdirCall(p *proc, m memory, a []uint64) errno {
	name, e := m.str(a[0], a[1])
	if e != eOK {
		return e
	}
	dir, e := p.directory(name)
	if e == eOK {
		p.cwd = dir
	}
	return e
}

func fchdirCall(p *proc, _ memory, a []uint64) errno {
	f, e := p.get(a[0])
	if e != eOK {
		return e
	}
	if f.file != nil {
		return eNotdir
	}
	at, e := f.where()
	if e == eOK {
		p.cwd = at
	}
	return e
}

// getcwdCall is getcwd(buf, size) → length or -errno. A zero byte follows the path.
func getcwdCall(p *proc, m memory, a []uint64) errno {
	n := uint64(len(p.cwd) + 1)
	if uint64(uint32(a[1])) < n {
		return negative(eRange)
	}
	b, e := m.bytes(a[0], n)
	if e != eOK {
		return negative(e)
	}
	b[copy(b, p.cwd)] = 0
	return errno(n - 1)
}

// chmodCall is chmod(dirfd, path, len, mode, follow) → errno, and fchmodCall fchmod(fd, mode) → errno. Only the executable bit of files is kept.
func chmodCall(p *proc, m memory, a []uint64) errno {
	base, name, e := p.pathArg(m, a[0], a[1], a[2])
	if e != eOK {
		return e
	}
	l, e := p.fs.walk(base, name, uint32(a[4]) != 0)
	if e != eOK {
		return e
	}
	return p.chmod(l.path, l.info.kind, a[3])
}

func fchmodCall(p *proc, _ memory, a []uint64) errno {
	f, e := p.get(a[0])
	if e != eOK {
		return e
	}
	if f.file == nil || f.path == "" {
		return eOK
	}
	i, e := f.file.stat()
	if e != eOK {
		return e
	}
	return p.chmod(f.path, i.kind, a[1])
}

func (p *proc) chmod(path string, kind fileKind, mode uint64) errno {
	mt, rel := p.fs.cover(path)
	switch {
	case kind != kindFile:
		return eOK
	case mt == nil:
		return eRofs
	}
	return mt.b.chmod(rel, mode&0o111 != 0)
}
