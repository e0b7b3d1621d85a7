package wasmrt

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// DirOptions configures how programs see a directory of the host; nil is all zero.
type DirOptions struct {
	// ReadOnly refuses every change.
	ReadOnly bool
	// Live is for a directory that people work in: programs see and set the real times, and inode numbers are the host's.
	// If it is false, programs see the fixed time and inode numbers derived from paths, so that a build cannot depend on the host's.
	Live bool
	// Shared is for a directory that processes outside of this one change too.
	Shared bool
	// MaxFiles limits the number of files, directories and links below the root; zero means no limit.
	MaxFiles int64
	// MaxBytes limits the sum of the lengths of all files, holes included; zero means no limit.
	MaxBytes int64
	// MaxFileSize limits the length of one file; zero means no limit.
	MaxFileSize int64
}

// A Dir is a directory of the host that programs may read and, unless it is read-only, write.
// No program reaches anything outside of it, whatever links it holds and whatever other programs do meanwhile: every
// operation goes through os.Root.
// Many programs may use it at once.
type Dir struct {
	root *os.Root
	opts DirOptions
	quota

	mu    sync.RWMutex
	refs  map[*dirRef]struct{}
	known map[string]struct{} // paths known to be directories and not links; see lstat
	nodes inodes
	young young

	multiMu sync.Mutex
	multi   map[uint64]uint64 // host inode number → guest inode number, for files with several names
}

// OpenDir opens the directory at a host path.
// The caller closes it after the last program has ended.
func OpenDir(hostPath string, o *DirOptions) (*Dir, error) {
	if o == nil {
		o = &DirOptions{}
	}
	root, err := os.OpenRoot(hostPath)
	if err != nil {
		return nil, fmt.Errorf("open directory %s: %w", hostPath, err)
	}
	d := &Dir{root: root, opts: *o, refs: map[*dirRef]struct{}{}, known: map[string]struct{}{}}
	d.opts.Shared = o.Shared || o.Live
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

// Close releases the directory; open files stay usable.
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
	dev, ino, nlink, ok := hostID(st)
	if ok && i.kind != kindDir {
		i.nlink = nlink
	}
	if ok {
		i.ino = d.ino(i.kind, ino, nlink)
	}
	if ok && d.opts.Live {
		i.dev = dev
	}
	if d.opts.Live {
		i.times = true
		i.atime, i.mtime, i.ctime = hostTimes(st)
	}
	return i
}

// ino returns the inode number that programs see, or zero if the FS derives it from the path.
// A file with several names keeps one number for all of them.
func (d *Dir) ino(kind fileKind, host, nlink uint64) uint64 {
	switch {
	case d.opts.Live:
		return host
	case kind != kindDir && nlink > 1:
		return d.shared(host)
	}
	return 0
}

// shared returns the inode number of a file with several names: it numbers these files in the order of their first sight.
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

// lstat caches which paths are directories, because a walk looks up each component of a path.
// In a Shared directory other processes may replace a directory, so lstat always asks the host.
// A stale answer cannot lead out of the root, since the following operation goes through os.Root.
func (d *Dir) lstat(rel string) (info, errno) {
	if !d.opts.Shared {
		d.mu.RLock()
		_, ok := d.known[rel]
		d.mu.RUnlock()
		if ok {
			return info{kind: kindDir, nlink: 1, young: d.young.has(inodeKey{path: rel})}, eOK
		}
	}
	st, err := d.root.Lstat(rel)
	if err != nil {
		return info{}, errnoOf(err)
	}
	i := d.infoOf(st)
	k := inodeKey{path: rel}
	if i.kind != kindDir {
		k, _ = keyOf(st, rel)
	}
	i.young = d.young.has(k)
	if i.kind == kindDir && !d.opts.Shared {
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
	for i := range out { // sorted by name, since shared numbers files in the order in which it sees them
		out[i].ino = d.direntIno(f, out[i])
	}
	return out, eOK
}

// direntIno returns the inode number that lstat gives for an entry, or zero if the FS derives it from the path.
func (d *Dir) direntIno(dir *os.File, e dirent) uint64 {
	if !d.opts.Live && e.kind == kindDir {
		return 0
	}
	ino, nlink, ok := hostInode(dir, e.name)
	if !ok {
		return 0
	}
	return d.ino(e.kind, ino, nlink)
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
	// Only plain files are opened. Without hostOpenFlags, a FIFO put there after lstat would block the open.
	f, err := d.root.OpenFile(rel, mode|hostOpenFlags, 0)
	if err != nil {
		return nil, errnoOf(err)
	}
	df, e := d.opened(f, rel, flag)
	if e != eOK {
		return nil, e
	}
	return df, eOK
}

func (d *Dir) opened(f *os.File, rel string, flag openFlag) (*dirFile, errno) {
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
	d.entered(rel)
	df, e := d.opened(f, rel, flag&^openTrunc)
	if e != eOK {
		return nil, e
	}
	df.wrote()
	return df, eOK
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

// FS returns the directory as a Go file system, for importing the output of a build.
// It does not follow links out of the directory. It implements fs.ReadLinkFS, and Mode includes the executable bit.
func (d *Dir) FS() fs.FS { return d.root.FS() }

// WriteFile writes a file at a path relative to the root and creates missing parent directories.
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
