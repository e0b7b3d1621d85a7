package fsmount

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/cas"
)

// The requests of /dev/fuse that register a file for passthrough, and take it back.
const (
	backingOpen  = 0x4010e501
	backingClose = 0x4004e502
)

// files are the open files of one connection.
//
// With passthrough the kernel reads a blob itself, and the daemon has no part in it. Without, the kernel caches what it reads from the daemon. All
// opens of one file are of the same kind at the same time, because the kernel refuses a mixture.
type files struct {
	device int // the descriptor of the connection

	mu          sync.Mutex
	passthrough bool
	opens       *opens
	reading     map[uint64]*os.File // the files of opens without passthrough
}

// register gives the kernel a file for passthrough and returns its backing id.
func (f *files) register(file *os.File) (int32, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var id uintptr
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		m := fuse.BackingMap{Fd: int32(fd)}
		id, _, errno = unix.Syscall(unix.SYS_IOCTL, uintptr(f.device), backingOpen, uintptr(unsafe.Pointer(&m)))
	})
	if errno != 0 { // the id is -1 then
		return 0, errno
	}
	return int32(id), err
}

func (f *files) unregister(id int32) {
	backing := uint32(id)
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(f.device), backingClose, uintptr(unsafe.Pointer(&backing)))
}

// again opens a file that is open already; false if it is not.
func (f *files) again(node uint64, out *fuse.OpenOut) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.againLocked(node, out)
}

func (f *files) againLocked(node uint64, out *fuse.OpenOut) bool {
	backing, open := f.opens.again(node)
	if open {
		describe(backing, out)
	}
	return open
}

func describe(backing int32, out *fuse.OpenOut) {
	out.OpenFlags = fuse.FOPEN_NOFLUSH
	if backing != 0 {
		out.OpenFlags |= fuse.FOPEN_PASSTHROUGH
		out.BackingID = backing
		return
	}
	out.OpenFlags |= fuse.FOPEN_KEEP_CACHE
}

// first opens a file with the blob that has its bytes, and closes the blob unless it keeps it.
func (f *files) first(node uint64, blob *os.File, out *fuse.OpenOut) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.againLocked(node, out) {
		return blob.Close()
	}
	if f.opens.full() {
		return errors.Join(syscall.ENFILE, blob.Close())
	}
	var backing int32
	if f.passthrough {
		id, err := f.register(blob)
		switch {
		case err == nil:
			backing = id
		case errors.Is(err, unix.EPERM), errors.Is(err, unix.ELOOP), errors.Is(err, unix.EOPNOTSUPP): // not on this machine, or not for this store
			f.passthrough = false
		default:
			return errors.Join(err, blob.Close())
		}
	}
	f.opens.first(node, backing)
	describe(backing, out)
	if backing != 0 {
		return blob.Close() // the kernel has it
	}
	f.reading[node] = blob
	return nil
}

// release takes back one open of a file. It is called after the kernel has its answer, so that a crash in between leaves the file open, and not
// closed too early.
func (f *files) release(node uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	backing, last := f.opens.release(node)
	if !last {
		return
	}
	if backing != 0 {
		f.unregister(backing)
	}
	if blob := f.reading[node]; blob != nil {
		delete(f.reading, node)
		blob.Close() //nolint:errcheck // it was only read
	}
}

// blob returns the file that was opened for node; nil if an earlier daemon opened it.
func (f *files) blob(node uint64) *os.File {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reading[node]
}

// keep makes blob the file of a node that an earlier daemon opened, and returns the file to read.
func (f *files) keep(node uint64, blob *os.File) *os.File {
	f.mu.Lock()
	defer f.mu.Unlock()
	if other := f.reading[node]; other != nil {
		blob.Close() //nolint:errcheck // it was not used
		return other
	}
	f.reading[node] = blob
	return blob
}

// held calls add with the number of the slot of each open file.
func (f *files) held(add func(slot uint32)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for node := range f.opens.at {
		add(uint32(node >> 32))
	}
}

// close closes all files. remove: the connection has ended.
func (f *files) close(remove bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, blob := range f.reading {
		blob.Close() //nolint:errcheck // it was only read
	}
	f.reading = nil
	return f.opens.close(remove)
}

// content opens the blob of a file, and has it fetched if the store has none. It returns when it is there, or cancel is closed.
func (f *fileSystem) content(cancel <-chan struct{}, p *place) (*os.File, fuse.Status) {
	c, err := p.tree.content(p.at)
	if err != nil {
		return nil, f.status("open a file", err)
	}
	blob, err := await(f.core, cancel, func() (*os.File, error) { return f.open(p.slot, c) }, func(b *os.File) { _ = b.Close() })
	switch {
	case errors.Is(err, errCanceled):
		return nil, fuse.EINTR
	case err != nil:
		f.complain(c, err)
		return nil, fuse.EIO
	}
	return blob, fuse.OK
}

// Open implements fuse.RawFileSystem.
func (f *fileSystem) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if in.Flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		return fuse.EROFS
	}
	if f.files.again(in.NodeId, out) {
		return fuse.OK
	}
	p, st := f.place(cancel, in.NodeId)
	if !st.Ok() {
		return st
	}
	if p.entry().kind != cas.File {
		return fuse.EINVAL
	}
	blob, st := f.content(cancel, &p)
	if !st.Ok() {
		return st
	}
	if err := f.files.first(in.NodeId, blob, out); err != nil {
		return f.status("open a file", err)
	}
	return fuse.OK
}

// Read implements fuse.RawFileSystem, for files without passthrough. A blob that has become too short is an error,
// because the kernel would show zeros in place of its end.
func (f *fileSystem) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	p, st := f.place(cancel, in.NodeId)
	if !st.Ok() {
		return nil, st
	}
	if p.entry().kind != cas.File {
		return nil, fuse.EINVAL
	}
	blob := f.files.blob(in.NodeId)
	if blob == nil { // an earlier daemon opened the file
		if blob, st = f.content(cancel, &p); !st.Ok() {
			return nil, st
		}
		blob = f.files.keep(in.NodeId, blob)
	}
	rest := p.entry().size - int64(min(in.Offset, uint64(p.entry().size)))
	buf = buf[:min(int64(in.Size), int64(len(buf)), rest)]
	if _, err := blob.ReadAt(buf, int64(in.Offset)); err != nil && len(buf) > 0 {
		return nil, f.status("read a file", err)
	}
	return fuse.ReadResultData(buf), fuse.OK
}
