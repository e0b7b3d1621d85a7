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

// files are the files of one connection that programs read.
//
// With passthrough the kernel asks the daemon at each open and close, and reads the blob itself. Without, the kernel opens files on its own, and caches
// what it reads from the daemon.
type files struct {
	device int // the descriptor of the connection

	mu          sync.Mutex
	passthrough bool
	opens       *opens
	reading     reading
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
// It returns the backing id.
func (f *files) again(node uint64) (backing int32, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.againLocked(node)
}

func (f *files) againLocked(node uint64) (backing int32, ok bool) {
	e := f.opens.at[node]
	if e == nil || !f.passthrough {
		return 0, false
	}
	if e.idle != nil && !e.blob.holds() {
		f.drop(node)
		return 0, false
	}
	f.opens.again(e)
	return f.opens.backing(e.record), true
}

// drop removes an idle file from the table. The caller has locked.
func (f *files) drop(node uint64) {
	if id := f.opens.drop(node); id != 0 {
		f.unregister(id)
	}
}

// openFlags are those of each answer to an open.
const openFlags = fuse.FOPEN_NOFLUSH | fuse.FOPEN_PASSTHROUGH

// errOwnOpens says that the kernel must open files on its own.
var errOwnOpens = errors.New("the kernel cannot read files itself")

// first opens a file with the blob that has its bytes, and returns the backing id. errOwnOpens.
func (f *files) first(node uint64, blob *os.File) (backing int32, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if backing, ok := f.againLocked(node); ok {
		return backing, nil
	}
	s, err := stampOf(blob)
	if err != nil {
		return 0, err
	}
	if f.opens.full() && f.opens.idle.Len() > 0 {
		f.drop(f.opens.idle.Back().Value.(uint64))
	}
	if f.opens.full() {
		return 0, syscall.ENFILE
	}
	if backing, err = f.tryRegister(blob); err == nil {
		f.opens.first(node, backing, s)
	}
	return backing, err
}

// tryRegister registers a file. errOwnOpens, now and from now on: not on this machine, or not for this store. The caller has locked.
func (f *files) tryRegister(blob *os.File) (int32, error) {
	if !f.passthrough {
		return 0, errOwnOpens
	}
	id, err := f.register(blob)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EOPNOTSUPP) {
		f.passthrough = false
		return 0, errOwnOpens
	}
	return id, err
}

// begin finds out whether the kernel reads files itself: it must offer that, no daemon of this connection may have told it to open files on its own,
// and it must take a file.
func (f *files) begin(offered bool, file *os.File) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.passthrough = offered && !f.opens.own()
	id, err := f.tryRegister(file)
	if errors.Is(err, errOwnOpens) {
		return nil
	}
	if err == nil {
		f.unregister(id)
	}
	return err
}

// ownOpens reports whether the kernel is to open files on its own, and remembers for the next daemon that it was told so.
func (f *files) ownOpens() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.passthrough {
		f.opens.setOwn()
	}
	return !f.passthrough
}

// release takes back one open of a file. It is called after the kernel has its answer, so that a crash in between leaves the file open, and not
// closed too early.
func (f *files) release(node uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.opens.release(node) && f.opens.idle.Len() > maxIdle {
		f.drop(f.opens.idle.Back().Value.(uint64))
	}
}

// forget gives back blobs that nobody needs now: those of slots for which which returns true.
func (f *files) forget(which func(slot uint32) bool) {
	f.reading.drop(func(node uint64) bool { return which(uint32(node >> 32)) })
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
	f.reading.drop(func(uint64) bool { return true })
	f.mu.Lock()
	defer f.mu.Unlock()
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

// Open implements fuse.RawFileSystem, for files that are not in the table of open files. ENOSYS tells the kernel to open all files on its own.
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
	if f.files.ownOpens() {
		return f.openYourself(&p)
	}
	blob, st := f.content(w, &p)
	if !st.Ok() {
		return st
	}
	defer blob.Close() //nolint:errcheck // the kernel has it
	backing, err := f.files.first(in.NodeId, blob)
	switch {
	case errors.Is(err, errOwnOpens) && f.files.ownOpens():
		return f.openYourself(&p)
	case err != nil:
		return f.status("open a file", err)
	}
	out.OpenFlags, out.BackingID = openFlags, backing
	return fuse.OK
}

// openYourself tells the kernel, by its error, to open all files on its own. The kernel would still ask at the first close of a descriptor, which may be that of a program that
// starts the next daemon, and waits for it. So the holder closes one at once.
func (f *fileSystem) openYourself(p *place) fuse.Status {
	f.told.Do(func() { f.look(p.pid.String() + p.tree.path(p.at)) })
	return fuse.ENOSYS
}

// Flush tells the kernel, by its error, that it need not tell of the close of a descriptor.
func (*fileSystem) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.ENOSYS }

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
	rest := p.entry().size - int64(min(in.Offset, uint64(p.entry().size)))
	buf = buf[:min(int64(in.Size), int64(len(buf)), rest)]
	for {
		blob := f.files.reading.get(in.NodeId)
		if blob == nil {
			var s fuse.Status
			if blob, s = f.content(w, &p); !s.Ok() {
				return nil, s
			}
			blob = f.files.reading.put(in.NodeId, blob)
		}
		_, err := blob.ReadAt(buf, int64(in.Offset))
		switch {
		case errors.Is(err, os.ErrClosed): // others needed its place
			continue
		case err != nil && len(buf) > 0:
			return nil, f.status("read a file", err)
		}
		return fuse.ReadResultData(buf), fuse.OK
	}
}
