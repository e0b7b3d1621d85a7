package wasmrt

import (
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// Epoch is the fixed time: programs see it on the clock when they start, and on every file outside a Live Dir.
// It is the first second a zip file can hold.
var Epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// A Mount places a tree or a directory at a path of the programs' file system.
type Mount struct {
	// Path is absolute and clean, such as "/nuka/build".
	Path string
	// Exactly one of Tree and Dir is set.
	Tree *Tree
	Dir  *Dir
	// Source is for a Tree of which another version may be mounted at the same path next time, and whose programs read a part: a Memo looks at each
	// file that a program has seen. Of other trees it only asks whether they are the same.
	Source bool
}

// An FS is the file system that programs see: mounts under a root that contains nothing else.
// The directories above a mount exist and are read-only; /dev has null, zero, random and urandom.
// The FS resolves symbolic links itself, across mounts; an absolute link starts at its root.
// It is immutable except for the contents of its Dirs, and many programs may use it at once.
type FS struct {
	mounts map[string]*mount
	// above maps each directory above mounts to the names in it, sorted.
	above map[string][]string
	tops  []string
	self  []string // the mounts that Self stands for; none if there is no such path
}

type mount struct {
	path   string
	b      backend
	source bool
}

// NewFS returns the file system with the given mounts.
// A mount may lie inside another mount.
func NewFS(mounts ...Mount) (*FS, error) {
	f := &FS{mounts: map[string]*mount{}, above: map[string][]string{"/": nil}}
	for _, m := range mounts {
		if !path.IsAbs(m.Path) || path.Clean(m.Path) != m.Path || strings.ContainsRune(m.Path, 0) {
			return nil, fmt.Errorf("mount %q: not an absolute clean path", m.Path)
		}
		if m.Path == Self {
			return nil, fmt.Errorf("mount %q: a program finds its own package there", m.Path)
		}
		if f.mounts[m.Path] != nil {
			return nil, fmt.Errorf("mount %q: mounted twice", m.Path)
		}
		mt := &mount{path: m.Path, source: m.Source}
		switch {
		case m.Tree != nil && m.Dir == nil:
			mt.b = m.Tree
		case m.Dir != nil && m.Tree == nil:
			mt.b = m.Dir
		default:
			return nil, fmt.Errorf("mount %q: needs either a tree or a directory", m.Path)
		}
		f.place(mt)
	}
	if f.mounts["/dev"] == nil && f.mounts["/"] == nil {
		f.place(&mount{path: "/dev", b: devices{}})
	}
	for p := range f.mounts {
		if p != "/" {
			f.tops = append(f.tops, p)
		}
	}
	slices.Sort(f.tops)
	return f, nil
}

func (f *FS) place(m *mount) {
	f.mounts[m.path] = m
	for p := m.path; p != "/"; p = path.Dir(p) {
		dir, name := path.Dir(p), path.Base(p)
		if i, ok := slices.BinarySearch(f.above[dir], name); !ok {
			f.above[dir] = slices.Insert(f.above[dir], i, name)
		}
	}
}

// cover returns the mount that contains a guest path, and the path relative to that mount.
// The mount is nil if no mount contains the path, as for the directories above mounts.
func (f *FS) cover(p string) (*mount, string) {
	for q := p; ; q = path.Dir(q) {
		if m := f.mounts[q]; m != nil {
			if q == p {
				return m, "."
			}
			return m, strings.TrimPrefix(p[len(q):], "/")
		}
		if q == "/" {
			return nil, ""
		}
	}
}

// lstat describes the file at a path that contains no links.
func (f *FS) lstat(p string) (info, errno) {
	if f.mounts[p] == nil {
		if _, ok := f.above[p]; ok {
			return f.fill(p, info{kind: kindDir, nlink: 1}), eOK
		}
	}
	m, rel := f.cover(p)
	if m == nil {
		return info{}, eNoent
	}
	i, e := m.b.lstat(rel)
	if e != eOK {
		return info{}, e
	}
	return f.fill(p, i), eOK
}

// fill completes an info for a guest path with an inode number and the fixed time, where they are missing.
func (f *FS) fill(p string, i info) info {
	if i.ino == 0 {
		i.ino = inoOf(p)
	}
	if !i.times {
		at := Epoch
		if i.young {
			at = at.Add(sinceAge)
		}
		i.mtime, i.atime, i.ctime = at.UnixNano(), at.UnixNano(), at.UnixNano()
	}
	return i
}

// inoAt returns the inode number of the file at a path that contains no links.
func (f *FS) inoAt(p string) uint64 {
	i, e := f.lstat(p)
	if e != eOK {
		return inoOf(p)
	}
	return i.ino
}

// inoOf derives an inode number from a path. The number is neither zero nor small: Dir.shared counts up from one.
func inoOf(p string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, p) // never fails
	return h.Sum64() | 1<<40
}

// readdir lists a directory, sorted bytewise by name.
func (f *FS) readdir(p string) ([]dirent, errno) {
	var list []dirent
	if m, rel := f.cover(p); m != nil {
		l, e := m.b.readdir(rel)
		if e != eOK && (f.above[p] == nil || e == eIO) {
			return nil, e
		}
		list = l
	}
	if names := f.above[p]; len(names) > 0 {
		list = slices.DeleteFunc(slices.Clone(list), func(d dirent) bool {
			_, ok := slices.BinarySearch(names, d.name)
			return ok
		})
		for _, n := range names {
			d := dirent{name: n, kind: kindDir}
			if i, e := f.lstat(join(p, n)); e == eOK {
				d.kind, d.ino = i.kind, i.ino // a mount may be a single file
			}
			list = append(list, d)
		}
		slices.SortFunc(list, func(a, b dirent) int { return strings.Compare(a.name, b.name) })
	}
	for i := range list {
		if list[i].ino == 0 {
			list[i].ino = inoOf(join(p, list[i].name))
		}
	}
	return list, eOK
}

// under reports whether a mount lies at or below a path. Such a path cannot be renamed or removed.
func (f *FS) under(p string) bool {
	_, ok := f.above[p]
	return ok || f.mounts[p] != nil
}

func join(dir, name string) string {
	if dir == "/" {
		return "/" + name
	}
	return dir + "/" + name
}

// FileInfo is the description of a file that FS.Stat returns.
type FileInfo struct {
	Kind Kind
	Exec bool
	Size int64
}

// Stat describes a file, following links. Errors match fs.ErrNotExist and similar sentinels, and name the path.
func (f *FS) Stat(name string) (FileInfo, error) {
	l, e := f.walk("/", name, true)
	if e != eOK {
		return FileInfo{}, &fs.PathError{Op: "stat", Path: name, Err: e}
	}
	return FileInfo{Kind: Kind(l.info.kind), Exec: l.info.exec, Size: l.info.size}, nil
}

// ReadFile reads a whole file, following links. It fails if the file is longer than limit bytes (zero: 64 MiB).
func (f *FS) ReadFile(name string, limit int64) ([]byte, error) {
	b, e := f.readFile(name, limit)
	if e != eOK {
		return nil, &fs.PathError{Op: "read", Path: name, Err: e}
	}
	return b, nil
}

func (f *FS) readFile(name string, limit int64) ([]byte, errno) {
	if limit <= 0 {
		limit = 64 << 20
	}
	file, i, e := f.openFile(name)
	if e != eOK {
		return nil, e
	}
	defer file.close()
	if i.size > limit {
		return nil, eFbig
	}
	b := make([]byte, i.size)
	n := 0
	for n < len(b) {
		k, e := file.pread(b[n:], int64(n))
		if e != eOK {
			return nil, e
		}
		if k == 0 {
			break
		}
		n += k
	}
	return b[:n], eOK
}

// openFile opens a plain file for reading.
func (f *FS) openFile(name string) (file, info, errno) {
	l, e := f.walk("/", name, true)
	if e != eOK {
		return nil, info{}, e
	}
	if l.info.kind == kindDir {
		return nil, info{}, eIsdir
	}
	m, rel := f.cover(l.path)
	if m == nil {
		return nil, info{}, eNoent
	}
	file, e := m.b.open(rel, openRead)
	return file, l.info, e
}

// Chmod sets or clears the executable bit of a file in a Dir, following links.
func (f *FS) Chmod(name string, exec bool) error {
	l, e := f.walk("/", name, true)
	if e == eOK {
		if m, rel := f.cover(l.path); m != nil {
			e = m.b.chmod(rel, exec)
		} else {
			e = eRofs
		}
	}
	if e != eOK {
		return &fs.PathError{Op: "chmod", Path: name, Err: e}
	}
	return nil
}

// WriteFile creates or replaces a file in a Dir, following links. The parent directory must exist.
func (f *FS) WriteFile(name string, data []byte, exec bool) error {
	file, e := f.open("/", name, openRequest{flag: openWrite | openTrunc, create: true, follow: true})
	if e == eOK {
		if _, e = file.file.write(data, false); e == eOK {
			e = file.file.close()
		} else {
			file.file.close()
		}
	}
	if e != eOK {
		return &fs.PathError{Op: "write", Path: name, Err: e}
	}
	if exec {
		return f.Chmod(name, true)
	}
	return nil
}
