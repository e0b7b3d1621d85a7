package wasmrt

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// DirOptions says how a directory of the host is shown to programs; nil is all zero.
type DirOptions struct {
	// ReadOnly refuses every change.
	ReadOnly bool
	// Live is for a directory people work in: programs see and set the real times, and inode numbers are the host's.
	// Zero shows the fixed time and numbers made from paths, so that a build cannot depend on them.
	Live bool
	// MaxFiles limits the number of files, directories and links below the root; zero is no limit.
	MaxFiles int64
	// MaxBytes limits the sum of the lengths of all files, holes included; zero is no limit.
	MaxBytes int64
	// MaxFileSize limits the length of one file; zero is no limit.
	MaxFileSize int64
}

// A Dir is a directory of the host which programs may read and, unless read-only, write.
// Whatever links it holds and whatever programs do to it meanwhile, nothing outside of it is reached: every
// operation goes through os.Root.
// It is safe for use by many programs at once.
type Dir struct {
	root *os.Root
	opts DirOptions
	quota

	mu    sync.RWMutex
	refs  map[*dirRef]struct{}
	known map[string]struct{} // paths seen to be directories, no links; see lstat
	nodes inodes

	multiMu sync.Mutex
	multi   map[uint64]uint64 // host inode number → ours, of files with several names
}

// OpenDir opens the directory at a host path.
// The caller closes it when no program uses it any more.
func OpenDir(hostPath string, o *DirOptions) (*Dir, error) {
	if o == nil {
		o = &DirOptions{}
	}
	root, err := os.OpenRoot(hostPath)
	if err != nil {
		return nil, fmt.Errorf("open directory %s: %w", hostPath, err)
	}
	d := &Dir{root: root, opts: *o, refs: map[*dirRef]struct{}{}, known: map[string]struct{}{}}
	d.nodes.dir = d
	d.quota.name, d.quota.maxFiles, d.quota.maxBytes, d.quota.maxSize = hostPath, o.MaxFiles, o.MaxBytes, o.MaxFileSize
	if d.quota.limited() {
		if err := d.countExisting(); err != nil {
			root.Close()
			return nil, fmt.Errorf("open directory %s: %w", hostPath, err)
		}
	}
	return d, nil
}

// Close releases the directory; files that are still open stay usable.
func (d *Dir) Close() error { return d.root.Close() }

func (d *Dir) countExisting() error {
	return fs.WalkDir(d.root.FS(), ".", func(p string, e fs.DirEntry, err error) error {
		if err != nil || p == "." {
			return err
		}
		d.quota.files++
		if e.Type().IsRegular() {
			st, err := e.Info()
			if err != nil {
				return err
			}
			d.quota.bytes += st.Size()
		}
		return nil
	})
}

func (d *Dir) infoOf(st fs.FileInfo) info {
	i := info{kind: kindOf(st.Mode()), size: st.Size(), nlink: 1}
	i.exec = i.kind == kindFile && st.Mode()&0o111 != 0
	if i.kind == kindDir {
		i.size = 0
	}
	_, ino, nlink, ok := hostID(st)
	if ok && i.kind != kindDir {
		i.nlink = nlink
	}
	// A file with several names keeps one number for all of them.
	if ok && d.opts.Live {
		i.ino = ino
	} else if ok && i.nlink > 1 {
		i.ino = d.shared(ino)
	}
	if d.opts.Live {
		i.mtime = st.ModTime().UnixNano()
		i.atime = i.mtime
	}
	return i
}

// shared returns the number of a file with several names: they count up in the order they are first seen.
func (d *Dir) shared(host uint64) uint64 {
	d.multiMu.Lock()
	defer d.multiMu.Unlock()
	n, ok := d.multi[host]
	if !ok {
		if d.multi == nil {
			d.multi = map[uint64]uint64{}
		}
		n = uint64(len(d.multi)) + 1
		d.multi[host] = n
	}
	return n
}

func kindOf(m fs.FileMode) fileKind {
	switch {
	case m.IsRegular():
		return kindFile
	case m.IsDir():
		return kindDir
	case m&fs.ModeSymlink != 0:
		return kindSymlink
	}
	return kindUnknown
}

// lstat answers from memory for directories that were seen before: a walk asks for each component of a path.
// In a Live directory others may change what a name is, so there only the host answers.
// A stale answer cannot lead out of the root, since the operation that follows goes through os.Root.
func (d *Dir) lstat(rel string) (info, errno) {
	if !d.opts.Live {
		d.mu.RLock()
		_, ok := d.known[rel]
		d.mu.RUnlock()
		if ok {
			return info{kind: kindDir, nlink: 1}, eOK
		}
	}
	st, err := d.root.Lstat(rel)
	if err != nil {
		return info{}, errnoOf(err)
	}
	i := d.infoOf(st)
	if i.kind == kindDir && !d.opts.Live {
		d.mu.Lock()
		if len(d.known) < 1<<16 {
			d.known[rel] = struct{}{}
		}
		d.mu.Unlock()
	}
	return i, eOK
}

func (d *Dir) readlink(rel string) (string, errno) {
	s, err := d.root.Readlink(rel)
	if err != nil {
		return "", errnoOf(err)
	}
	return strings.ReplaceAll(s, string(os.PathSeparator), "/"), eOK
}

func (d *Dir) readdir(rel string) ([]dirent, errno) {
	f, err := d.root.Open(rel)
	if err != nil {
		return nil, errnoOf(err)
	}
	defer f.Close()
	var out []dirent
	for {
		list, err := f.ReadDir(4096)
		for _, e := range list {
			if utf8.ValidString(e.Name()) {
				out = append(out, dirent{name: e.Name(), kind: kindOf(e.Type())})
			}
		}
		if err == io.EOF || err == nil && len(list) == 0 {
			break
		}
		if err != nil {
			return nil, errnoOf(err)
		}
	}
	slices.SortFunc(out, func(a, b dirent) int { return strings.Compare(a.name, b.name) })
	return out, eOK
}

func (d *Dir) open(rel string, flag openFlag) (file, errno) {
	if d.opts.ReadOnly && flag&(openWrite|openTrunc) != 0 {
		return nil, eRofs
	}
	mode := os.O_RDONLY
	switch {
	case flag&(openWrite|openTrunc) != 0 && flag&openRead == 0:
		mode = os.O_WRONLY
	case flag&(openWrite|openTrunc) != 0:
		mode = os.O_RDWR
	}
	// Only plain files are opened; without hostOpenFlags a FIFO put there meanwhile would block.
	f, err := d.root.OpenFile(rel, mode|hostOpenFlags, 0)
	if err != nil {
		return nil, errnoOf(err)
	}
	return d.opened(f, rel, flag)
}

func (d *Dir) opened(f *os.File, rel string, flag openFlag) (file, errno) {
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, errnoOf(err)
	}
	if !st.Mode().IsRegular() {
		f.Close()
		if st.IsDir() {
			return nil, eIsdir
		}
		return nil, eNxio
	}
	df := &dirFile{f: f, dir: d, node: d.nodes.get(st, rel), flag: flag}
	if flag&openTrunc != 0 {
		if e := df.truncate(0); e != eOK {
			df.close()
			return nil, e
		}
	}
	return df, eOK
}

func (d *Dir) create(rel string, flag openFlag) (file, errno) {
	if d.opts.ReadOnly {
		return nil, eRofs
	}
	if e := d.quota.addFile(); e != eOK {
		return nil, e
	}
	mode := os.O_RDWR
	if flag&openRead == 0 {
		mode = os.O_WRONLY
	}
	f, err := d.root.OpenFile(rel, mode|os.O_CREATE|os.O_EXCL|hostOpenFlags, 0o644)
	if err != nil {
		d.quota.dropFile()
		return nil, errnoOf(err)
	}
	return d.opened(f, rel, flag&^openTrunc)
}

func (d *Dir) mkdir(rel string) errno {
	return d.making(func() error { return d.root.Mkdir(rel, 0o755) })
}

func (d *Dir) link(from, to string) errno {
	return d.making(func() error { return d.root.Link(from, to) })
}

func (d *Dir) symlink(target, rel string) errno {
	return d.making(func() error { return d.root.Symlink(target, rel) })
}

// making runs an operation that adds one name.
func (d *Dir) making(op func() error) errno {
	if d.opts.ReadOnly {
		return eRofs
	}
	if e := d.quota.addFile(); e != eOK {
		return e
	}
	if err := op(); err != nil {
		d.quota.dropFile()
		return errnoOf(err)
	}
	return eOK
}

func (d *Dir) rmdir(rel string) errno {
	if d.opts.ReadOnly {
		return eRofs
	}
	if rel == "." {
		return eBusy
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	st, err := d.root.Lstat(rel)
	if err != nil {
		return errnoOf(err)
	}
	if !st.IsDir() {
		return eNotdir
	}
	if err := d.root.Remove(rel); err != nil {
		if e := errnoOf(err); e != eExist {
			return e
		}
		return eNotempty
	}
	d.quota.dropFile()
	d.forget(rel)
	return eOK
}

func (d *Dir) unlink(rel string) errno {
	if d.opts.ReadOnly {
		return eRofs
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	st, err := d.root.Lstat(rel)
	if err != nil {
		return errnoOf(err)
	}
	if st.IsDir() {
		return eIsdir
	}
	if err := d.root.Remove(rel); err != nil {
		return errnoOf(err)
	}
	d.quota.dropFile()
	d.nodes.unlinked(st, rel)
	return eOK
}

func (d *Dir) rename(from, to string) errno {
	if d.opts.ReadOnly {
		return eRofs
	}
	if from == "." || to == "." {
		return eBusy
	}
	if from == to {
		return eOK
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	src, err := d.root.Lstat(from)
	if err != nil {
		return errnoOf(err)
	}
	old, err := d.root.Lstat(to)
	if err != nil {
		old = nil
	}
	if old != nil && os.SameFile(src, old) {
		return eOK // two names of one file: POSIX leaves both
	}
	if err := d.root.Rename(from, to); err != nil {
		if src.IsDir() && (to == from || strings.HasPrefix(to, from+"/")) {
			return eInval
		}
		if e := errnoOf(err); e != eExist { // file systems differ in what they call a directory that is not empty
			return e
		}
		return eNotempty
	}
	if old != nil {
		d.quota.dropFile()
		if old.IsDir() {
			d.forget(to)
		} else {
			d.nodes.unlinked(old, to)
		}
	}
	d.nodes.renamed(from, to)
	if src.IsDir() {
		d.moved(from, to)
	}
	return eOK
}

// forget drops what is known of a directory that is gone. The caller holds d.mu.
func (d *Dir) forget(rel string) {
	delete(d.known, rel)
	for r := range d.refs {
		if r.rel == rel {
			r.gone = true
		}
	}
}

// moved follows the rename of a directory. The caller holds d.mu.
func (d *Dir) moved(from, to string) {
	for p := range d.known {
		if p == from || strings.HasPrefix(p, from+"/") {
			delete(d.known, p)
		}
	}
	for r := range d.refs {
		if r.gone {
			continue
		}
		if r.rel == from || strings.HasPrefix(r.rel, from+"/") {
			r.rel = to + r.rel[len(from):]
		}
	}
}

func (d *Dir) chtimes(rel string, atime, mtime int64) errno {
	if d.opts.ReadOnly {
		return eRofs
	}
	if !d.opts.Live {
		return eOK // everything shows the fixed time
	}
	return errnoOf(d.root.Chtimes(rel, timeOf(atime), timeOf(mtime)))
}

// timeOf is the zero time, which means "leave it", for a negative value.
func timeOf(ns int64) time.Time {
	if ns < 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

func (d *Dir) chmod(rel string, exec bool) errno {
	if d.opts.ReadOnly {
		return eRofs
	}
	st, err := d.root.Lstat(rel)
	if err != nil {
		return errnoOf(err)
	}
	if !st.Mode().IsRegular() {
		return eOK // only a file's executable bit is kept
	}
	mode := st.Mode().Perm() &^ 0o111
	if exec {
		mode |= 0o100 | mode>>2&0o111 // execute where it can be read
	}
	return errnoOf(d.setMode(rel, mode))
}

// setMode sets a file's mode. In a build it does so by an open file, since a worker may not change modes by path:
// Landlock does not look at such calls.
func (d *Dir) setMode(rel string, mode fs.FileMode) error {
	if d.opts.Live {
		return d.root.Chmod(rel, mode)
	}
	f, err := d.root.OpenFile(rel, os.O_RDONLY|hostOpenFlags, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(mode), f.Close())
}

func (d *Dir) handle(rel string) *dirRef {
	r := &dirRef{rel: rel}
	d.mu.Lock()
	d.refs[r] = struct{}{}
	d.mu.Unlock()
	return r
}

func (d *Dir) release(r *dirRef) {
	d.mu.Lock()
	delete(d.refs, r)
	d.mu.Unlock()
}

func (d *Dir) at(r *dirRef) (string, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return r.rel, r.gone
}

// FS returns the directory as a Go file system, for importing what was built.
// Its links are not followed out of the directory. It implements fs.ReadLinkFS, and the executable bit is in Mode.
func (d *Dir) FS() fs.FS { return d.root.FS() }

// WriteFile writes a file at a path relative to the root, making the directories above it.
func (d *Dir) WriteFile(name string, data []byte, exec bool) error {
	if err := d.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if exec {
		mode = 0o755
	}
	if err := d.root.WriteFile(name, data, mode); err != nil {
		return err
	}
	return d.setMode(name, mode)
}
