package wasmrt

import (
	"github.com/zeebo/blake3"
)

// watch returns a view of a file system through which a recording notes what a program looks at and changes. Trees that the key names need no notes.
func (r *recording) watch(f *FS) *FS {
	seen := &FS{mounts: make(map[string]*mount, len(f.mounts)), above: f.above, tops: f.tops}
	for at, m := range f.mounts {
		switch m.b.(type) {
		case *Tree:
			if !m.source {
				seen.mounts[at] = m
				continue
			}
		case devices:
			seen.mounts[at] = m
			continue
		}
		seen.mounts[at] = &mount{path: at, source: m.source, b: &watched{backend: m.b, m: m, r: r}}
	}
	return seen
}

// watched is a mount whose use a recording notes. The names and properties of files are noted by lstat, through which each path of a call goes, name by name.
type watched struct {
	backend
	m *mount
	r *recording
}

// seenAs describes what lstat returned. It is false for what no record can hold.
func seenAs(at string, i info, e errno) (memoSeen, bool) {
	s := memoSeen{Path: at}
	switch {
	case e == eNoent || e == eNotdir:
		return s, true
	case e != eOK:
		return s, false
	case i.kind == kindDir: // the time of a folder depends on what else runs
		s.Kind = kindDir
		return s, true
	case i.kind == kindSymlink:
		s.Kind = kindSymlink
		return s, true
	case i.kind == kindFile && i.nlink == 1:
		s.Kind, s.Exec, s.Size, s.Young = kindFile, i.exec, i.size, i.young
		return s, true
	}
	return s, false
}

// see notes what is at a path, once. A change by another program is found at the end; see recording.keep.
func (w *watched) see(rel string, i info, e errno) *memoSeen {
	at := w.m.abs(rel)
	if w.r.touched[at] {
		return nil
	}
	if s := w.r.seen[at]; s != nil {
		return s
	}
	s, ok := seenAs(at, i, e)
	if !ok {
		w.r.spoil("it saw a file that is neither plain nor a link, or has several names")
		return nil
	}
	if s.Kind == kindSymlink {
		if s.Target, e = w.backend.readlink(rel); e != eOK {
			w.r.spoil("it saw a link that cannot be read")
		}
	}
	if len(w.r.seen) >= maxMemoSeen {
		w.r.spoil("it looked at too many files")
		return nil
	}
	w.r.seen[at] = &s
	return &s
}

// touch notes that the program changes a path.
func (w *watched) touch(rel string) { w.r.touched[w.m.abs(rel)] = true }

func (w *watched) lstat(rel string) (info, errno) {
	i, e := w.backend.lstat(rel)
	w.see(rel, i, e)
	return i, e
}

func (w *watched) readdir(rel string) ([]dirent, errno) {
	i, e := w.backend.lstat(rel)
	s := w.see(rel, i, e)
	for at := range w.r.touched {
		if d := w.m.abs(rel); len(at) > len(d) && at[:len(d)] == d {
			w.r.spoil("it listed a folder that it changed")
		}
	}
	if s != nil && s.List == nil {
		if s.List, e = listOf(w.backend, rel); e != eOK {
			w.r.spoil("it listed a folder that cannot be read")
		}
	}
	return w.backend.readdir(rel)
}

// listOf returns the hash of a folder's list.
func listOf(b backend, rel string) ([]byte, errno) {
	list, e := b.readdir(rel)
	if e != eOK {
		return nil, e
	}
	h := blake3.New()
	for _, d := range list {
		_, _ = h.WriteString(d.name + "\x00")
		_, _ = h.Write([]byte{byte(d.kind)})
	}
	return h.Sum(nil), eOK
}

func (w *watched) open(rel string, flag openFlag) (file, errno) {
	i, e := w.backend.lstat(rel)
	if s := w.see(rel, i, e); s != nil && s.Content == nil && flag&openTrunc == 0 {
		if s.Content, e = contentOf(w.backend, rel); e != eOK {
			w.r.spoil("it opened a file that cannot be read")
		}
	}
	if flag&(openWrite|openTrunc) != 0 {
		w.touch(rel)
	}
	return w.opened(w.backend.open(rel, flag))
}

func (w *watched) create(rel string, flag openFlag) (file, errno) {
	f, e := w.opened(w.backend.create(rel, flag))
	if e == eOK {
		w.touch(rel)
	}
	return f, e
}

// opened notes a failure that may not happen again.
func (w *watched) opened(f file, e errno) (file, errno) {
	if e == eOK {
		return &watchedFile{f, w.r}, eOK
	}
	if e != eNoent && e != eRofs && e != eIsdir {
		w.r.spoil("a file could not be opened")
	}
	return nil, e
}

// watchedFile is an open file whose failures a recording notes: the disk may have room another time.
type watchedFile struct {
	file
	r *recording
}

func (f *watchedFile) check(e errno) {
	if e != eOK {
		f.r.spoil("a file could not be read or written")
	}
}

func (f *watchedFile) read(b []byte) (int, errno) {
	n, e := f.file.read(b)
	f.check(e)
	return n, e
}

func (f *watchedFile) pread(b []byte, off int64) (int, errno) {
	n, e := f.file.pread(b, off)
	f.check(e)
	return n, e
}

func (f *watchedFile) write(b []byte, atEnd bool) (int, errno) {
	n, e := f.file.write(b, atEnd)
	f.check(e)
	return n, e
}

func (f *watchedFile) pwrite(b []byte, off int64) (int, errno) {
	n, e := f.file.pwrite(b, off)
	f.check(e)
	return n, e
}

func (f *watchedFile) truncate(size int64) errno {
	e := f.file.truncate(size)
	f.check(e)
	return e
}

func (f *watchedFile) chtimes(atime, mtime int64) errno {
	f.r.spoil("it set the time of a file")
	return f.file.chtimes(atime, mtime)
}

// changed notes a change of several paths.
func (w *watched) changed(e errno, paths ...string) errno {
	for _, rel := range paths {
		w.touch(rel)
	}
	if e != eOK {
		w.r.spoil("a file could not be changed")
	}
	return e
}

func (w *watched) unlink(rel string) errno { return w.changed(w.backend.unlink(rel), rel) }

func (w *watched) rename(from, to string) errno {
	if i, e := w.backend.lstat(from); e != eOK || i.kind != kindFile {
		w.r.spoil("it renamed a folder or link")
	}
	return w.changed(w.backend.rename(from, to), from, to)
}

// Other changes are not remembered.

func (w *watched) mkdir(rel string) errno {
	w.r.spoil("it made a folder")
	return w.backend.mkdir(rel)
}

func (w *watched) rmdir(rel string) errno {
	w.r.spoil("it removed a folder")
	return w.backend.rmdir(rel)
}

func (w *watched) link(from, to string) errno {
	w.r.spoil("it linked a file")
	return w.backend.link(from, to)
}

func (w *watched) symlink(target, rel string) errno {
	w.r.spoil("it made a link")
	return w.backend.symlink(target, rel)
}

func (w *watched) chtimes(rel string, atime, mtime int64) errno {
	w.r.spoil("it set the time of a file")
	return w.backend.chtimes(rel, atime, mtime)
}

func (w *watched) chmod(rel string, exec bool) errno {
	w.r.spoil("it set the mode of a file")
	return w.backend.chmod(rel, exec)
}
