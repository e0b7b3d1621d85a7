package wasmrt

import (
	"fmt"
	"io/fs"
	"os"
	"sync"
)

// quota counts the contents of a Dir and refuses changes that exceed its limits.
type quota struct {
	name                        string
	maxFiles, maxBytes, maxSize int64

	qmu          sync.Mutex
	files, bytes int64
	exceeded     error
}

func (q *quota) limited() bool { return q.maxFiles > 0 || q.maxBytes > 0 }

// Exceeded returns the first limit that a program exceeded, as a *LimitError, or nil if there is none.
// The program saw "no space left" or "file too large"; this error says which limit it was and where.
func (q *quota) Exceeded() error {
	q.qmu.Lock()
	defer q.qmu.Unlock()
	return q.exceeded
}

func (q *quota) over(format string, args ...any) {
	if q.exceeded == nil {
		q.exceeded = &LimitError{fmt.Sprintf("scratch directory: "+format, args...)}
	}
}

func (q *quota) addFile() errno {
	q.qmu.Lock()
	defer q.qmu.Unlock()
	if q.maxFiles > 0 && q.files >= q.maxFiles {
		q.over("more than %d files", q.maxFiles)
		return eNospc
	}
	q.files++
	return eOK
}

func (q *quota) dropFile() {
	q.qmu.Lock()
	q.files--
	q.qmu.Unlock()
}

// grow accounts for a file whose length changes by delta bytes, to size; delta may be negative.
func (q *quota) grow(delta, size int64) errno {
	q.qmu.Lock()
	defer q.qmu.Unlock()
	if delta > 0 {
		if q.maxSize > 0 && size > q.maxSize {
			q.over("a file larger than %d bytes", q.maxSize)
			return eFbig
		}
		if q.maxBytes > 0 && delta > q.maxBytes-q.bytes {
			q.over("more than %d bytes", q.maxBytes)
			return eNospc
		}
	}
	q.bytes += delta
	return eOK
}

// inodes is the table of a Dir's open files. It makes a file's length count once, however many names and handles the file
// has, until the last handle is closed.
type inodes struct {
	dir  *Dir
	mu   sync.Mutex
	open map[inodeKey]*inode
}

type inodeKey struct {
	dev, ino uint64
	path     string // used where the host has no inode numbers
}

type inode struct {
	key  inodeKey
	refs int
	gone bool // the last name was removed

	mu   sync.Mutex // guards size; held across a write that moves the end of the file
	size int64
}

func keyOf(st fs.FileInfo, rel string) (inodeKey, uint64) {
	if dev, ino, nlink, ok := hostID(st); ok {
		return inodeKey{dev: dev, ino: ino}, nlink
	}
	return inodeKey{path: rel}, 1
}

func (t *inodes) get(st fs.FileInfo, rel string) *inode {
	k, _ := keyOf(st, rel)
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.open[k]
	if n == nil {
		if t.open == nil {
			t.open = map[inodeKey]*inode{}
		}
		n = &inode{key: k, size: st.Size()}
		t.open[k] = n
	}
	n.refs++
	return n
}

func (t *inodes) put(n *inode) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.refs--; n.refs > 0 {
		return
	}
	delete(t.open, n.key)
	if n.gone {
		_ = t.dir.grow(-n.size, 0) // shrinking never fails
	}
}

// unlinked records that one name of a file was removed; st describes the file before the removal.
func (t *inodes) unlinked(st fs.FileInfo, rel string) {
	if !st.Mode().IsRegular() {
		return
	}
	k, nlink := keyOf(st, rel)
	if nlink > 1 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.open[k]; n != nil {
		n.gone = true
		return
	}
	_ = t.dir.grow(-st.Size(), 0)
}

// renamed updates the table where paths identify files.
func (t *inodes) renamed(from, to string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.open[inodeKey{path: from}]; n != nil {
		delete(t.open, n.key)
		n.key.path = to
		t.open[n.key] = n
	}
}

// dirFile is an open file of a Dir.
type dirFile struct {
	position
	f    *os.File
	dir  *Dir
	node *inode
	flag openFlag
}

func (f *dirFile) stat() (info, errno) {
	st, err := f.f.Stat()
	if err != nil {
		return info{}, errnoOf(err)
	}
	i := f.dir.infoOf(st)
	i.young = f.dir.young.has(f.node.key)
	return i, eOK
}

func (f *dirFile) read(b []byte) (int, errno) {
	f.position.mu.Lock()
	defer f.position.mu.Unlock()
	n, e := f.pread(b, f.pos)
	f.pos += int64(n)
	return n, e
}

func (f *dirFile) pread(b []byte, off int64) (int, errno) {
	if f.flag&openRead == 0 {
		return 0, eBadf
	}
	return readAt(f.f, b, off)
}

func (f *dirFile) write(b []byte, atEnd bool) (int, errno) {
	f.position.mu.Lock()
	defer f.position.mu.Unlock()
	n, at, e := f.put(b, f.pos, atEnd)
	f.pos = at + int64(n)
	return n, e
}

func (f *dirFile) pwrite(b []byte, off int64) (int, errno) {
	n, _, e := f.put(b, off, false)
	return n, e
}

// put writes at off, or at the end of the file, and returns the offset of the write.
func (f *dirFile) put(b []byte, off int64, atEnd bool) (n int, at int64, e errno) {
	if f.flag&openWrite == 0 {
		return 0, off, eBadf
	}
	f.node.mu.Lock()
	defer f.node.mu.Unlock()
	if f.dir.opts.Shared { // other processes write too
		st, err := f.f.Stat()
		if err != nil {
			return 0, off, errnoOf(err)
		}
		f.node.size = st.Size()
	}
	if atEnd {
		off = f.node.size
	}
	end := off + int64(len(b))
	if off < 0 || end < off {
		return 0, off, eFbig
	}
	if len(b) == 0 {
		return 0, off, eOK
	}
	if more := end - f.node.size; more > 0 {
		if e := f.dir.grow(more, end); e != eOK {
			return 0, off, e
		}
	}
	f.wrote()
	n, err := f.f.WriteAt(b, off)
	if got := off + int64(n); end > f.node.size {
		got = max(got, f.node.size)
		_ = f.dir.grow(got-end, 0)
		f.node.size = got
	}
	if err != nil && n == 0 {
		return 0, off, errnoOf(err)
	}
	return n, off, eOK
}

func (f *dirFile) seek(off int64, whence int) (int64, errno) {
	return f.seekTo(off, whence, func() (int64, errno) {
		st, err := f.f.Stat()
		if err != nil {
			return 0, errnoOf(err)
		}
		return st.Size(), eOK
	})
}

func (f *dirFile) truncate(size int64) errno {
	if f.flag&(openWrite|openTrunc) == 0 {
		return eInval
	}
	if size < 0 {
		return eInval
	}
	f.node.mu.Lock()
	defer f.node.mu.Unlock()
	old := f.node.size
	if e := f.dir.grow(size-old, size); e != eOK {
		return e
	}
	if err := f.f.Truncate(size); err != nil {
		_ = f.dir.grow(old-size, 0)
		return errnoOf(err)
	}
	f.node.size = size
	f.wrote()
	return eOK
}

func (f *dirFile) chtimes(atime, mtime int64) errno {
	if !f.dir.opts.Live {
		f.dir.young.setTime(f.node.key, mtime)
		return eOK
	}
	return errnoOf(hostChtimes(f.f, atime, mtime))
}

func (f *dirFile) sync() errno {
	if !f.dir.opts.Live {
		return eOK // the import makes the output of a build durable
	}
	return errnoOf(f.f.Sync())
}

func (f *dirFile) close() errno {
	err := f.f.Close()
	f.dir.nodes.put(f.node)
	return errnoOf(err)
}
