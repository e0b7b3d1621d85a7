package wasmrt

import (
	"errors"
	"io"
	"slices"
	"sync"
)

// watch returns a view of a file system through which a recording notes what programs look at and change. Trees that the key names need no notes.
func (r *recording) watch(f *FS) *FS {
	view := &FS{mounts: make(map[string]*mount, len(f.mounts)), above: f.above, tops: f.tops, self: f.self}
	for at, m := range f.mounts {
		_, device := m.b.(devices)
		_, tree := m.b.(*Tree)
		if device || tree && !m.source {
			view.mounts[at] = m
			continue
		}
		view.mounts[at] = &mount{path: at, source: m.source, b: &watched{backend: m.b, m: m, r: r}}
	}
	return view
}

// watched is a mount whose use a recording notes. The names and properties of files are noted by lstat, through which each path of a call goes, name by name.
// A change is noted before it happens: then no other process of the command takes it for what was there before.
type watched struct {
	backend
	m *mount
	r *recording
}

// seenAs describes what lstat returned. It is false for what no record can hold.
func (r *recording) seenAs(at string, i info, e errno) (memoSeen, bool) {
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
		// When a command begins, no file is younger than others.
		s.Kind, s.Exec, s.Size, s.Young = kindFile, i.exec, i.size, i.young && !r.whole
		return s, true
	}
	return s, false
}

// see notes what is at a path, once, and returns the note; nil if the program itself has changed it. The caller holds r.mu.
func (w *watched) see(rel string, i info, e errno) *memoSeen {
	at := w.m.abs(rel)
	if s := w.r.seen[at]; s != nil || w.r.touched[at] {
		if w.r.touched[at] {
			return nil
		}
		return s
	}
	s, ok := w.r.seenAs(at, i, e)
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

// seeContent notes the content of a file, if the program has not made it.
func (w *watched) seeContent(rel string) *memoSeen {
	i, e := w.backend.lstat(rel)
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	s := w.see(rel, i, e)
	if s != nil && s.Kind == kindFile && s.Content == nil {
		if s.Content, e = contentOf(w.backend, rel); e != eOK {
			w.r.spoil("it opened a file that cannot be read")
		}
	}
	return s
}

// content is contentOf for a watched mount.
func (w *watched) content(rel string) ([]byte, errno) {
	if s := w.seeContent(rel); s != nil && s.Content != nil {
		return s.Content, eOK
	}
	return contentOf(w.backend, rel)
}

// touch notes that the program changes a path.
func (w *watched) touch(rel string) {
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	w.r.touched[w.m.abs(rel)] = true
}

// check notes a failure that may not happen again: the disk may have room another time.
func (r *recording) check(e errno) errno {
	again := []errno{eOK, eNoent, eExist, eNotdir, eIsdir, eNotempty, eRofs, eInval, ePerm, eBusy, eLoop, eNametoolong, eXdev, eBadf, eSpipe}
	if !slices.Contains(again, e) {
		r.spoil("a file could not be read or changed: " + e.Error())
	}
	return e
}

func (w *watched) lstat(rel string) (info, errno) {
	i, e := w.backend.lstat(rel)
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	w.see(rel, i, e)
	return i, e
}

func (w *watched) readdir(rel string) ([]dirent, errno) {
	i, e := w.backend.lstat(rel)
	list, listed := w.backend.readdir(rel)
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	if s := w.see(rel, i, e); s != nil && s.Kind == kindDir && s.names == nil {
		s.names = append([]dirent{}, list...)
	}
	return list, w.r.check(listed)
}

func (w *watched) open(rel string, flag openFlag) (file, errno) {
	if flag&openTrunc == 0 {
		w.seeContent(rel)
	}
	if flag&(openWrite|openTrunc) != 0 {
		w.touch(rel)
	}
	return w.opened(w.backend.open(rel, flag))
}

func (w *watched) create(rel string, flag openFlag) (file, errno) {
	w.touch(rel)
	return w.opened(w.backend.create(rel, flag))
}

func (w *watched) opened(f file, e errno) (file, errno) {
	if e != eOK {
		return nil, w.r.check(e)
	}
	return &watchedFile{f, w.r}, eOK
}

func (w *watched) mkdir(rel string) errno {
	w.touch(rel)
	return w.r.check(w.backend.mkdir(rel))
}

func (w *watched) rmdir(rel string) errno {
	w.touch(rel)
	return w.r.check(w.backend.rmdir(rel))
}

func (w *watched) unlink(rel string) errno {
	w.touch(rel)
	return w.r.check(w.backend.unlink(rel))
}

func (w *watched) symlink(target, rel string) errno {
	w.touch(rel)
	return w.r.check(w.backend.symlink(target, rel))
}

func (w *watched) link(from, to string) errno {
	w.seeContent(from)
	w.touch(to)
	return w.r.check(w.backend.link(from, to))
}

func (w *watched) rename(from, to string) errno {
	w.seeContent(from)
	if i, e := w.backend.lstat(from); e != eOK || i.kind == kindDir {
		w.r.spoil("it renamed a folder")
	}
	w.touch(from)
	w.touch(to)
	return w.r.check(w.backend.rename(from, to))
}

func (w *watched) chmod(rel string, exec bool) errno {
	w.seeContent(rel)
	w.touch(rel)
	return w.r.check(w.backend.chmod(rel, exec))
}

func (w *watched) chtimes(rel string, atime, mtime int64) errno {
	w.r.timed()
	return w.backend.chtimes(rel, atime, mtime)
}

// timed notes that the program sets the time of a file. When a command has ended, all files have one time.
func (r *recording) timed() {
	if !r.whole {
		r.spoil("it set the time of a file")
	}
}

// watchedFile is an open file whose failures a recording notes.
type watchedFile struct {
	file
	r *recording
}

func (f *watchedFile) read(b []byte) (int, errno) {
	n, e := f.file.read(b)
	return n, f.r.check(e)
}

func (f *watchedFile) pread(b []byte, off int64) (int, errno) {
	n, e := f.file.pread(b, off)
	return n, f.r.check(e)
}

func (f *watchedFile) write(b []byte, atEnd bool) (int, errno) {
	n, e := f.file.write(b, atEnd)
	return n, f.r.check(e)
}

func (f *watchedFile) pwrite(b []byte, off int64) (int, errno) {
	n, e := f.file.pwrite(b, off)
	return n, f.r.check(e)
}

func (f *watchedFile) truncate(size int64) errno { return f.r.check(f.file.truncate(size)) }

func (f *watchedFile) chtimes(atime, mtime int64) errno {
	f.r.timed()
	return f.file.chtimes(atime, mtime)
}

// tees are the two output streams of a command, whose recording notes what passes through.
type tees struct {
	mu     sync.Mutex
	to     [3]io.Writer
	record *recording
}

// newTees returns writers in place of those of a command; nil if the results of the command are not to be remembered.
func (h *Host) newTees(stdin io.Reader, stdout, stderr *io.Writer) *tees {
	if h.Memo == nil || h.Real || stdin != nil || ownLock(*stdout) || ownLock(*stderr) || !h.FS.still() {
		return nil
	}
	t := &tees{to: [3]io.Writer{1: *stdout, 2: *stderr}}
	for i, w := range []*io.Writer{stdout, stderr} {
		if *w != nil {
			*w = &tee{t, i + 1}
		}
	}
	return t
}

type tee struct {
	t      *tees
	stream int
}

func (t *tee) Write(b []byte) (int, error) {
	t.t.mu.Lock()
	defer t.t.mu.Unlock()
	n, err := t.t.to[t.stream].Write(b)
	t.t.record.wrote(t.stream, b[:n])
	if err != nil {
		t.t.record.spoil("its output could not be written")
	}
	return n, err
}

// pass writes output of a record.
func (t *tees) pass(stream int, b []byte) errno {
	if w := t.to[stream]; w != nil {
		if _, err := w.Write(b); err != nil {
			var limit *LimitError
			if errors.As(err, &limit) {
				t.record.p.fatal = limit
			}
			return eIO
		}
	}
	return eOK
}
