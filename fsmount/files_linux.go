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

// again opens a file in the table; false if it is not there. An idle file whose blob is not as it was leaves the table, so that the store looks at it.
func (f *files) again(node uint64) (o opened, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.againLocked(node)
}

func (f *files) againLocked(node uint64) (o opened, ok bool) {
	e := f.opens.at[node]
	if e == nil {
		return opened{}, false
	}
	if e.idle != nil && !e.blob.holds() {
		f.drop(node)
		return opened{}, false
	}
	f.opens.again(e)
	return describe(f.opens.backing(e.record)), true
}

// drop removes an idle file from the table. The caller has locked.
func (f *files) drop(node uint64) {
	if id := f.opens.drop(node); id != 0 {
		f.unregister(id)
	}
}

// An opened is the answer to an open.
type opened struct {
	flags   uint32
	backing int32
}

func describe(backing int32) opened {
	if backing != 0 {
		return opened{fuse.FOPEN_NOFLUSH | fuse.FOPEN_PASSTHROUGH, backing}
	}
	return opened{fuse.FOPEN_NOFLUSH | fuse.FOPEN_KEEP_CACHE, 0}
}

// first opens a file with the blob that has its bytes, and closes the blob unless it keeps it.
func (f *files) first(node uint64, blob *os.File) (opened, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o, ok := f.againLocked(node); ok {
		return o, blob.Close()
	}
	s, err := stampOf(blob)
	if err != nil {
		return opened{}, errors.Join(err, blob.Close())
	}
	if f.opens.full() && f.opens.idle.Len() > 0 {
		f.drop(f.opens.idle.Back().Value.(uint64))
	}
	if f.opens.full() {
		return opened{}, errors.Join(syscall.ENFILE, blob.Close())
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
			return opened{}, errors.Join(err, blob.Close())
		}
	}
	f.opens.first(node, backing, s)
	if backing != 0 {
		return describe(backing), blob.Close() // the kernel has it
	}
	f.reading[node] = blob
	return describe(backing), nil
}

// release takes back one open of a file. It is called after the kernel has its answer, so that a crash in between leaves the file open, and not
// closed too early.
func (f *files) release(node uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.opens.release(node) {
		return
	}
	if blob := f.reading[node]; blob != nil {
		delete(f.reading, node)
		blob.Close() //nolint:errcheck // it was only read
	}
	if f.opens.idle.Len() > maxIdle {
		f.drop(f.opens.idle.Back().Value.(uint64))
	}
}

// forget removes idle files from the table: those of slots for which which returns true. The kernel keeps their blobs no longer.
func (f *files) forget(which func(slot uint32) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for e := f.opens.idle.Front(); e != nil; {
		node := e.Value.(uint64)
		e = e.Next()
		if which(uint32(node >> 32)) {
			f.drop(node)
		}
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
	for node, e := range f.opens.at {
		if e.idle == nil {
			add(uint32(node >> 32))
		}
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

// content opens the blob of a file, and has it fetched if the store has none. It returns when it is there, or the waiter is gone.
func (f *fileSystem) content(w waiter, p *place) (*os.File, fuse.Status) {
	c, err := p.tree.content(p.at)
	if err != nil {
		return nil, f.status("open a file", err)
	}
	blob, err := await(f.core, w, func() (*os.File, error) { return f.open(p.slot, c) }, func(b *os.File) { _ = b.Close() })
	switch {
	case errors.Is(err, errCanceled):
		return nil, fuse.EINTR
	case err != nil:
		f.complain(c, err)
		return nil, fuse.EIO
	}
	return blob, fuse.OK
}

// Open implements fuse.RawFileSystem, for files that are not in the table of open files.
func (f *fileSystem) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if in.Flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		return fuse.EROFS
	}
	w := opener(cancel)
	p, st := f.place(w, in.NodeId)
	if !st.Ok() {
		return st
	}
	if p.entry().kind != cas.File {
		return fuse.EINVAL
	}
	blob, st := f.content(w, &p)
	if !st.Ok() {
		return st
	}
	o, err := f.files.first(in.NodeId, blob)
	if err != nil {
		return f.status("open a file", err)
	}
	out.OpenFlags, out.BackingID = o.flags, o.backing
	return fuse.OK
}

// Read implements fuse.RawFileSystem, for files without passthrough. A blob that has become too short is an error,
// because the kernel would show zeros in place of its end.
func (f *fileSystem) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	w := process(cancel, &in.InHeader)
	p, st := f.place(w, in.NodeId)
	if !st.Ok() {
		return nil, st
	}
	if p.entry().kind != cas.File {
		return nil, fuse.EINVAL
	}
	blob := f.files.blob(in.NodeId)
	if blob == nil { // an earlier daemon opened the file
		if blob, st = f.content(w, &p); !st.Ok() {
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
