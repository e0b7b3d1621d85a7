package wasmrt

import (
	"errors"
	"io"
	"os"
	"sync"
)

// A fileKind is the type of a file as a program sees it. Its first values are the kinds of a tree.
type fileKind uint8

const (
	kindUnknown fileKind = 0
	kindDir              = fileKind(KindDir)
	kindFile             = fileKind(KindFile)
	kindSymlink          = fileKind(KindSymlink)
	// kindTTY is a terminal; kindPipe is any other file that is read or written sequentially.
	kindTTY  = kindSymlink + 1
	kindPipe = kindSymlink + 2
	// kindSocket is a socket of Sockets, or a connection.
	kindSocket = kindSymlink + 3
)

// wasi returns the number WASI gives the type.
func (k fileKind) wasi() byte {
	switch k {
	case kindDir:
		return 3
	case kindFile:
		return 4
	case kindSymlink:
		return 7
	case kindTTY:
		return 2
	case kindSocket:
		return 6 // of streams
	}
	return 0
}

// An openFlag says how a file is opened.
type openFlag uint8

const (
	openRead openFlag = 1 << iota
	openWrite
	openTrunc
	openExcl
	openAppend
)

// info describes a file.
type info struct {
	kind     fileKind
	exec     bool
	size     int64
	nlink    uint64
	dev, ino uint64 // 0: the one device, and an inode number derived from the guest path
	young    bool   // written since the command began; see young
	// times says that the following times are the host's, in nanoseconds; if it is false, programs see the fixed time.
	times               bool
	atime, mtime, ctime int64
}

// dirent is one entry of a directory.
type dirent struct {
	name string
	kind fileKind
	ino  uint64 // as in info
}

// backend is the set of operations that a mount needs from its tree or directory.
// Paths are relative to its root, "." for the root itself, and contain no "..".
// The walk has already followed links, so a link in a path was put there afterwards: the backend may follow or refuse it,
// but never leaves its root.
type backend interface {
	lstat(rel string) (info, errno)
	readlink(rel string) (string, errno)
	readdir(rel string) ([]dirent, errno)
	open(rel string, flag openFlag) (file, errno)
	// create makes a new file. If the name exists, it returns eExist.
	create(rel string, flag openFlag) (file, errno)
	mkdir(rel string) errno
	rmdir(rel string) errno
	unlink(rel string) errno
	rename(from, to string) errno
	link(from, to string) errno
	symlink(target, rel string) errno
	chtimes(rel string, atime, mtime int64) errno
	chmod(rel string, exec bool) errno
	// handle pins a directory, so that at follows its renames; release unpins it.
	handle(rel string) *dirRef
	release(*dirRef)
	at(*dirRef) (rel string, gone bool)
}

// dirRef is an open directory of a mount.
// rel changes when the directory or one above it is renamed.
type dirRef struct {
	rel  string
	gone bool
}

// file is an open file with a position. Several programs may share it and use it at once.
type file interface {
	stat() (info, errno)
	read(b []byte) (int, errno)
	pread(b []byte, off int64) (int, errno)
	write(b []byte, atEnd bool) (int, errno)
	pwrite(b []byte, off int64) (int, errno)
	seek(off int64, whence int) (int64, errno)
	truncate(size int64) errno
	chtimes(atime, mtime int64) errno
	sync() errno
	close() errno
}

// noFile implements file operations that all fail or do nothing; other files embed it.
type noFile struct{}

func (noFile) write([]byte, bool) (int, errno)   { return 0, eBadf }
func (noFile) pwrite([]byte, int64) (int, errno) { return 0, eSpipe }
func (noFile) truncate(int64) errno              { return eInval }
func (noFile) chtimes(int64, int64) errno        { return eOK }
func (noFile) sync() errno                       { return eOK }
func (noFile) close() errno                      { return eOK }

// position is the offset of an open file, shared by all descriptors of that open file.
type position struct {
	mu  sync.Mutex
	pos int64
}

func (p *position) seekTo(off int64, whence int, size func() (int64, errno)) (int64, errno) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		off += p.pos
	case io.SeekEnd:
		n, e := size()
		if e != eOK {
			return 0, e
		}
		off += n
	default:
		return 0, eInval
	}
	if off < 0 {
		return 0, eInval
	}
	p.pos = off
	return off, eOK
}

// readAt reads like pread(2): at the end of the file it returns a short count, not an end-of-file error.
func readAt(r io.ReaderAt, b []byte, off int64) (int, errno) {
	if off < 0 {
		return 0, eInval
	}
	n, err := r.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) && n == 0 {
		return 0, errnoOf(err)
	}
	return n, eOK
}

// treeFile is an open file of a Tree.
type treeFile struct {
	noFile
	position
	f    *os.File
	info info
}

func (f *treeFile) stat() (info, errno) { return f.info, eOK }

func (f *treeFile) read(b []byte) (int, errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, e := readAt(f.f, b, f.pos)
	f.pos += int64(n)
	return n, e
}

func (f *treeFile) pread(b []byte, off int64) (int, errno) { return readAt(f.f, b, off) }

func (f *treeFile) seek(off int64, whence int) (int64, errno) {
	return f.seekTo(off, whence, func() (int64, errno) { return f.info.size, eOK })
}

func (f *treeFile) close() errno { return errnoOf(f.f.Close()) }

// memFile is an open file whose content is in memory.
type memFile struct {
	noFile
	position
	info info
	data []byte
}

func (f *memFile) stat() (info, errno) { return f.info, eOK }

func (f *memFile) read(b []byte) (int, errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, e := f.pread(b, f.pos)
	f.pos += int64(n)
	return n, e
}

func (f *memFile) pread(b []byte, off int64) (int, errno) {
	if off < 0 {
		return 0, eInval
	}
	if off >= int64(len(f.data)) {
		return 0, eOK
	}
	return copy(b, f.data[off:]), eOK
}

func (f *memFile) seek(off int64, whence int) (int64, errno) {
	return f.seekTo(off, whence, func() (int64, errno) { return int64(len(f.data)), eOK })
}
