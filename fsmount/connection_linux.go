package fsmount

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const (
	maxTransfer = 1 << 20 // bytes of a read
	// bufferSize is enough for the largest request and the largest answer with their heads.
	bufferSize = maxTransfer + 8192
	headSize   = 40 // bytes of the head of a request
	pageSize   = 4096
	openAnswer = 32 // bytes of the answer to an open
	maxWaiting = 2  // readers that wait for a request

	opOpen    = 14
	opRelease = 18
	opInit    = 26

	notifyInode  = 2
	notifyEntry  = 3
	notifyResend = 7
)

// A connection serves one mounted file system.
type connection struct {
	id     string
	device int // its own duplicate of the descriptor
	server *fuse.ProtocolServer
	fs     *fileSystem
	files  *files
	log    *slog.Logger

	idle    atomic.Int32 // readers that wait for a request
	leaving atomic.Bool  // readers end after the request that they have
	readers sync.WaitGroup
	done    chan struct{} // closed when all readers have ended
	left    chan struct{} // closed when leave returns
	ended   atomic.Bool   // the kernel has ended the connection
	writing sync.RWMutex  // a message to the kernel is on its way; nobody can write after close has it
}

// connect takes over a connection whose kernel sent init. It answers init, which the kernel ignores if an earlier daemon has answered it, and
// has the kernel send again the requests that the earlier daemon has read and not answered. run is the folder of the tables of open files.
func connect(c *core, device int, id, run string, owner fuse.Owner, disk string, init []byte) (*connection, error) {
	table, idle, err := loadOpens(filepath.Join(run, opensPrefix+id))
	if err != nil {
		return nil, err
	}
	f := &files{device: device, opens: table}
	for _, id := range idle {
		f.unregister(id)
	}
	fs := &fileSystem{RawFileSystem: fuse.NewDefaultRawFileSystem(), core: c, owner: owner, files: f, root: disk}
	conn := &connection{id: id, device: device, files: f, fs: fs, log: c.log, left: make(chan struct{}), done: make(chan struct{})}
	conn.server = fuse.NewProtocolServer(fs, &fuse.MountOptions{
		Name: "nuka", DisableXAttrs: true, EnableSymlinkCaching: true, MaxWrite: maxTransfer, MaxBackground: 64, MaxStackDepth: 1,
		ExtraCapabilities: fuse.CAP_HAS_RESEND,
		Logger:            slog.NewLogLogger(c.log.Handler(), slog.LevelWarn),
	})
	offered, err := conn.answerInit(init)
	if err == nil {
		err = f.begin(offered, c.slots.file)
	}
	if err != nil {
		return nil, errors.Join(err, f.close(false))
	}
	return conn, nil
}

// answerInit answers the kernel's first request, and returns whether the kernel offers to read files itself.
func (c *connection) answerInit(init []byte) (passthrough bool, err error) {
	if len(init) < headSize+20 || binary.LittleEndian.Uint32(init[4:]) != opInit {
		return false, errors.New("the connection begins with no INIT request")
	}
	out := make([]byte, 4096)
	n, st := c.server.HandleRequest([][]byte{init}, [][]byte{out})
	if !st.Ok() || n < 16 || binary.LittleEndian.Uint32(out[4:]) != 0 {
		return false, fmt.Errorf("the INIT request of the kernel cannot be answered: %v", st)
	}
	// ENOENT: an earlier daemon has answered it.
	if _, err := unix.Write(c.device, out[:n]); err != nil && !errors.Is(err, unix.ENOENT) {
		return false, fmt.Errorf("answer INIT: %w", err)
	}
	offers := uint64(binary.LittleEndian.Uint32(init[headSize+12:])) | uint64(binary.LittleEndian.Uint32(init[headSize+16:]))<<32
	err = c.notify(notifyResend, nil)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // older kernels: waiting calls of an earlier daemon are lost
		err = nil
	}
	if err != nil {
		return false, fmt.Errorf("ask for the requests of an earlier daemon: %w", err)
	}
	return offers&fuse.CAP_PASSTHROUGH != 0, nil
}

// notify sends a message to the kernel.
func (c *connection) notify(code uint32, body []byte) error {
	b := binary.LittleEndian.AppendUint32(nil, uint32(16+len(body)))
	b = binary.LittleEndian.AppendUint32(b, code)
	b = append(append(b, make([]byte, 8)...), body...)
	if !c.writing.TryRLock() { // the descriptor is closed
		return unix.ENODEV
	}
	defer c.writing.RUnlock()
	_, err := unix.Write(c.device, b)
	return err
}

// forget has the kernel look up a name of the top again. It waits until no other call changes the top.
func (c *connection) forget(name string) error {
	body := binary.LittleEndian.AppendUint64(nil, topID)
	body = binary.LittleEndian.AppendUint32(body, uint32(len(name)))
	body = append(append(body, 0, 0, 0, 0), name...)
	err := c.notify(notifyEntry, append(body, 0))
	if errors.Is(err, unix.ENOENT) { // the kernel does not have the name
		return nil
	}
	return err
}

// changed has the kernel ask for the attributes of the top, and so for its listing.
func (c *connection) changed() error {
	err := c.invalidate(topID)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// invalidate has the kernel ask for the attributes of a node again. unix.ENOENT: it does not have the node.
func (c *connection) invalidate(node uint64) error {
	body := binary.LittleEndian.AppendUint64(nil, node)
	body = binary.LittleEndian.AppendUint64(body, ^uint64(0)) // -1: no bytes of it
	return c.notify(notifyInode, binary.LittleEndian.AppendUint64(body, 0))
}

// serve answers requests until the connection ends or leave has returned.
func (c *connection) serve() {
	c.readers.Add(1)
	c.idle.Add(1)
	go c.read(&buffers{})
	go func() {
		c.readers.Wait()
		close(c.done)
	}()
	select {
	case <-c.done:
	case <-c.left:
	}
}

type buffers struct{ in, out [bufferSize]byte }

var pool = sync.Pool{New: func() any { return &buffers{} }}

// read reads requests and answers them. While it answers one that may wait, another reader reads: it starts one if no other is idle.
func (c *connection) read(b *buffers) {
	defer c.readers.Done()
	defer pool.Put(b)
	for {
		in, err := c.next(b)
		if err != nil {
			c.idle.Add(-1)
			if !c.ended.Swap(true) && !errors.Is(err, unix.ENODEV) { // ENODEV: it was unmounted
				c.log.Error("mount: read a request", "error", err)
			}
			return
		}
		leaving := c.leaving.Load()
		if c.idle.Add(-1) == 0 && !leaving {
			c.readers.Add(1)
			c.idle.Add(1)
			go c.read(pool.Get().(*buffers))
		}
		c.answer(in, b.out[:])
		if leaving {
			return
		}
		if c.idle.Add(1) > maxWaiting {
			c.idle.Add(-1)
			return
		}
	}
}

// next returns the next request that may wait, and answers those before it that do not.
//
// If this process is killed while the kernel copies a request into memory that it has to provide first, the kernel answers the request itself, with EIO
// (fuse_dev_do_read), and a program that faulted a page gets SIGBUS. So the pages that a request takes, two at most as nothing is written, are there before.
func (c *connection) next(b *buffers) ([]byte, error) {
	for {
		b.in[0], b.in[pageSize] = 0, 0
		n, err := unix.Read(c.device, b.in[:])
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOENT): // ENOENT: the waiter is gone
			continue
		case err != nil:
			return nil, err
		}
		if in := b.in[:n]; n >= headSize && !c.answerNow(in, b.out[:]) {
			return in, nil
		}
	}
}

// answerNow answers opens and closes of files in the table of open files, which are most of all requests, without go-fuse. false: in is another request.
func (c *connection) answerNow(in, out []byte) bool {
	op, node := binary.LittleEndian.Uint32(in[4:]), binary.LittleEndian.Uint64(in[16:])
	n := 16
	switch {
	case op == opRelease:
	case op == opOpen && len(in) >= headSize+8 && binary.LittleEndian.Uint32(in[headSize:])&unix.O_ACCMODE == unix.O_RDONLY:
		backing, ok := c.files.again(node)
		if !ok {
			return false
		}
		n = openAnswer
		binary.LittleEndian.PutUint64(out[16:], 0)
		binary.LittleEndian.PutUint32(out[24:], openFlags)
		binary.LittleEndian.PutUint32(out[28:], uint32(backing))
	default:
		return false
	}
	binary.LittleEndian.PutUint32(out, uint32(n))
	binary.LittleEndian.PutUint32(out[4:], 0)
	copy(out[8:16], in[8:16]) // the number of the request
	c.write(op, out[:n])
	if op == opRelease {
		c.files.release(node)
	}
	return true
}

func (c *connection) answer(in, out []byte) {
	op := binary.LittleEndian.Uint32(in[4:])
	n, st := c.server.HandleRequest([][]byte{in}, [][]byte{out})
	if !st.Ok() {
		c.log.Warn("mount: a request cannot be read", "operation", op, "status", st)
	}
	if n > 0 {
		c.write(op, out[:n])
	}
}

func (c *connection) write(op uint32, out []byte) {
	// ENOENT: the waiter was interrupted.
	if _, err := unix.Write(c.device, out); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
		c.log.Error("mount: write an answer", "operation", op, "error", err)
	}
}

// leaveTime is how long leave tries to end the readers.
const leaveTime = 5 * time.Second

// leave ends serve and keeps the file system, which is mounted at path, for another daemon. Each waiting reader ends after one more request, so
// leave makes requests of its own. If that fails, the end of the process ends the readers.
func (c *connection) leave(path string) {
	c.leaving.Store(true)
	var stuck atomic.Bool
	go func() {
		for c.idle.Load() > 0 && !stuck.Load() {
			var st unix.Statfs_t
			if err := unix.Statfs(path, &st); err != nil {
				return
			}
		}
	}()
	select {
	case <-c.done:
	case <-time.After(leaveTime):
		stuck.Store(true)
	}
	close(c.left)
}

// close frees what the connection holds. A reader that could not be ended, or a message that the kernel has not taken, keeps the descriptor.
func (c *connection) close() error {
	if c.idle.Load() > 0 || !c.writing.TryLock() {
		return nil
	}
	return errors.Join(c.files.close(c.ended.Load()), unix.Close(c.device))
}

// inUse reports whether a file is open, as far as the kernel tells.
func (c *connection) inUse() bool {
	if c.files.ownOpens() {
		return false
	}
	c.files.mu.Lock()
	defer c.files.mu.Unlock()
	return c.files.opens.inUse() > 0
}
