package wasmrt

import (
	"path"
	"strings"
	"unicode/utf8"
)

const (
	maxLinks = 40
	maxPath  = 4096
	maxName  = 255
)

// spot is the end of a walk: a path without links, and the file there.
// With eNoent, path is the missing path if only its last component is missing, and empty otherwise.
type spot struct {
	path string
	info info
	// slash says that the path requires a directory, as a path that ends in a slash does.
	slash bool
}

// checkPath refuses strings that cannot be a path.
func checkPath(name string) errno {
	switch {
	case name == "":
		return eNoent
	case len(name) > maxPath:
		return eNametoolong
	case strings.IndexByte(name, 0) >= 0:
		return eInval
	case !utf8.ValidString(name):
		return eIlseq
	}
	return eOK
}

// walk follows a path from a directory, component by component, in the name space of the programs.
// It reads and resolves links itself, so ".." after a link leaves the link's target. It never forms a host path.
// If follow is true, or the path ends in a slash, it also follows a link at the end.
func (f *FS) walk(base, name string, follow bool) (spot, errno) {
	if e := checkPath(name); e != eOK {
		return spot{}, e
	}
	cur := base
	if name[0] == '/' {
		cur = "/"
	}
	rest, links := name, 0
	for {
		rest = strings.TrimLeft(rest, "/")
		if rest == "" {
			i, e := f.lstat(cur)
			return spot{path: cur, info: i, slash: true}, e
		}
		var c string
		slash := false
		if n := strings.IndexByte(rest, '/'); n >= 0 {
			c, rest, slash = rest[:n], rest[n+1:], true
		} else {
			c, rest = rest, ""
		}
		switch c {
		case ".":
			continue
		case "..":
			cur = path.Dir(cur)
			continue
		}
		if len(c) > maxName {
			return spot{}, eNametoolong
		}
		last := strings.Trim(rest, "/") == ""
		next := f.own(join(cur, c), rest)
		i, e := f.lstat(next)
		if e != eOK {
			if e == eNoent && last {
				return spot{path: next, slash: slash}, eNoent
			}
			return spot{}, e
		}
		switch i.kind {
		case kindSymlink:
			if last && !slash && !follow {
				return spot{path: next, info: i}, eOK
			}
			if links++; links > maxLinks {
				return spot{}, eLoop
			}
			m, rel := f.cover(next)
			target, e := m.b.readlink(rel)
			if e != eOK {
				return spot{}, e
			}
			if target == "" || len(target)+len(rest) > maxPath {
				return spot{}, eNametoolong
			}
			if target[0] == '/' {
				cur = "/"
			}
			if slash {
				rest = target + "/" + rest
			} else {
				rest = target
			}
		case kindDir:
			cur = next
			if last {
				return spot{path: cur, info: i, slash: slash}, eOK
			}
		default:
			if slash {
				return spot{}, eNotdir
			}
			return spot{path: next, info: i}, eOK
		}
	}
}

// parent walks to a name to be created, removed or renamed: it follows links on the way, but not the last component.
func (f *FS) parent(base, name string) (spot, errno) {
	trimmed := strings.TrimRight(name, "/")
	if trimmed == "" {
		if name == "" {
			return spot{}, eNoent
		}
		return spot{}, eBusy // the root
	}
	switch path.Base(trimmed) {
	case ".":
		return spot{}, eInval
	case "..":
		return spot{}, eNotempty
	}
	l, e := f.walk(base, trimmed, false)
	l.slash = len(trimmed) != len(name)
	return l, e
}

// openRequest says how to open a file.
type openRequest struct {
	flag      openFlag
	create    bool
	directory bool
	follow    bool
}

// opened is an open file or directory.
type opened struct {
	file file   // nil for a directory
	path string // path at the time of opening
	m    *mount // mount of a directory, nil above mounts
	ref  *dirRef
	ino  uint64
}

// open opens or creates a file, or opens a directory.
func (f *FS) open(base, name string, r openRequest) (opened, errno) {
	for range 8 { // tries again if another program creates or removes the file meanwhile
		l, e := f.walk(base, name, r.follow && r.flag&openExcl == 0)
		switch {
		case e == eNoent && l.path != "" && r.create:
			if l.slash {
				return opened{}, eIsdir
			}
			m, rel := f.cover(l.path)
			if m == nil {
				return opened{}, eRofs
			}
			file, e := m.b.create(rel, r.flag)
			if e == eExist && r.flag&openExcl == 0 {
				continue
			}
			return opened{file: file, path: l.path, ino: inoOf(l.path)}, e
		case e != eOK:
			return opened{}, e
		case r.create && r.flag&openExcl != 0:
			return opened{}, eExist
		case l.info.kind == kindSymlink:
			return opened{}, eLoop
		case l.info.kind == kindDir:
			if r.create || r.flag&(openWrite|openTrunc) != 0 {
				return opened{}, eIsdir
			}
			return f.openDir(l.path), eOK
		case r.directory:
			return opened{}, eNotdir
		}
		m, rel := f.cover(l.path)
		file, e := m.b.open(rel, r.flag)
		if e == eNoent && r.create {
			continue
		}
		return opened{file: file, path: l.path, ino: l.info.ino}, e
	}
	return opened{}, eBusy
}

// openDir pins a directory at a path without links.
func (f *FS) openDir(p string) opened {
	o := opened{path: p, ino: inoOf(p)}
	if m, rel := f.cover(p); m != nil {
		o.m, o.ref = m, m.b.handle(rel)
	}
	return o
}

// where returns the current path of an open directory, or eNoent if the directory was removed.
func (o *opened) where() (string, errno) {
	if o.m == nil {
		return o.path, eOK
	}
	rel, gone := o.m.b.at(o.ref)
	if gone {
		return "", eNoent
	}
	if rel == "." {
		return o.m.path, eOK
	}
	return join(o.m.path, rel), eOK
}

func (o *opened) close() errno {
	if o.file != nil {
		return o.file.close()
	}
	if o.m != nil {
		o.m.b.release(o.ref)
	}
	return eOK
}
