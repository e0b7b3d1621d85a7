package wasmrt

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Listening is a listening socket of the host that a program is given, with the name by which the program knows it.
type Listening struct {
	Name string
	File *os.File
}

// Sockets are the listening sockets that one program is given: its descriptors from 3 on, as the variables LISTEN_FDS, LISTEN_FDNAMES and LISTEN_PID say
// (sd_listen_fds(3)). They are all that the program has of a network: it may accept connections, read and write them, and shut them down. It can make no socket.
type Sockets struct {
	list     []*socket
	names    []string
	draining atomic.Bool

	mu   sync.Mutex
	open map[*socket]struct{} // accepted connections
}

// NewSockets returns the sockets of a program. They stay the caller's, who closes them after the program. They become non-blocking, for all that share them.
// Systems without descriptors of sockets return an error.
func NewSockets(list []Listening) (*Sockets, error) {
	s := &Sockets{open: map[*socket]struct{}{}}
	for _, l := range list {
		fd, err := listeningFD(l.File)
		if err != nil {
			return nil, fmt.Errorf("socket %s: %w", l.Name, err)
		}
		s.list = append(s.list, &socket{set: s, fd: fd, listens: true})
		s.names = append(s.names, l.Name)
	}
	return s, nil
}

// environ returns the variables by which a program finds its sockets.
func (s *Sockets) environ(pid int) []string {
	return []string{"LISTEN_FDS=" + strconv.Itoa(len(s.list)), "LISTEN_FDNAMES=" + strings.Join(s.names, ":"), "LISTEN_PID=" + strconv.Itoa(pid)}
}

// Drain lets the program accept no more connections, which wait for the next one that has the listening sockets, and returns when it has served those that it has: they
// are closed, or the last that happened on them was an answer. It returns the context's error if that ends first.
func (s *Sockets) Drain(ctx context.Context) error {
	s.mu.Lock()
	s.draining.Store(true)
	s.mu.Unlock()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for s.busy() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

const (
	// answered is how long nothing happens on a connection after an answer, until it counts as one that waits for the next request.
	answered = 300 * time.Millisecond
	// unasked is how long a connection waits for its first request.
	unasked = time.Second
)

func (s *Sockets) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		c.mu.Lock()
		quiet := time.Since(c.last)
		asked, answers := c.asked, c.answers
		c.mu.Unlock()
		if unread(c.fd) || asked && !answers || asked && quiet < answered || !asked && quiet < unasked {
			return true
		}
	}
	return false
}

// A socket is an open socket: a listening one of the host, or a connection that it accepted.
type socket struct {
	noFile
	set     *Sockets
	fd      int
	listens bool

	mu      sync.Mutex
	last    time.Time // of the last transfer
	asked   bool      // something was read
	answers bool      // the last transfer was a write
}

// socketIno tells sockets from other files without a path.
const socketIno = 3

func (s *socket) stat() (info, errno)              { return info{kind: kindSocket, nlink: 1, ino: socketIno}, eOK }
func (s *socket) pread([]byte, int64) (int, errno) { return 0, eSpipe }
func (s *socket) seek(int64, int) (int64, errno)   { return 0, eSpipe }
func (s *socket) read(b []byte) (int, errno)       { return s.recv(b, false) }

func (s *socket) recv(b []byte, peek bool) (int, errno) {
	if s.listens {
		return 0, eNotconn
	}
	n, e := recvFD(s.fd, b, peek)
	if n > 0 && !peek {
		s.moved(false)
	}
	return n, e
}

func (s *socket) write(b []byte, _ bool) (int, errno) {
	if s.listens {
		return 0, eNotconn
	}
	n, e := sendFD(s.fd, b)
	if n > 0 {
		s.moved(true)
	}
	return n, e
}

func (s *socket) moved(answers bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.answers = time.Now(), answers
	s.asked = s.asked || !answers
}

func (s *socket) close() errno {
	if s.listens { // it is the host's
		return eOK
	}
	s.set.mu.Lock()
	delete(s.set.open, s)
	s.set.mu.Unlock()
	return closeFD(s.fd)
}

// accept returns a connection, or eAgain.
func (s *socket) accept() (*socket, errno) {
	s.set.mu.Lock() // Drain begins before or after this, and not in between
	defer s.set.mu.Unlock()
	if s.set.draining.Load() {
		return nil, eAgain
	}
	fd, e := acceptFD(s.fd)
	if e != eOK {
		return nil, e
	}
	c := &socket{set: s.set, fd: fd, last: time.Now()}
	s.set.open[c] = struct{}{}
	return c, eOK
}

// socketAt returns the socket of a descriptor.
func (p *proc) socketAt(n uint64) (*fd, *socket, errno) {
	f, e := p.get(n)
	if e != eOK {
		return nil, nil, e
	}
	s, ok := f.file.(*socket)
	if !ok {
		return nil, nil, eNotsock
	}
	return f, s, eOK
}

// await waits until a call with a socket can go on. It returns eAgain if the descriptor does not wait, eBlock in a kernel, where the call is made again, and otherwise
// eOK, after the wait.
func (p *proc) await(f *fd, w *waiting, what awaited) errno {
	if f.nonblock {
		return eAgain
	}
	if p.k == nil {
		_, e := hostPoll(p.ctx, []awaited{what}, -1)
		if e == eOK && p.ctx.Err() != nil {
			return eAgain // the next call ends the program
		}
		return e
	}
	w.limit = -1
	w.watch(p, []awaited{what})
	w.ready = func() bool { return w.hostReady[what] }
	return p.wait(w)
}

// sockAccept takes a connection.
//
//	sock_accept(fd, flags, result) errno
func sockAccept(p *proc, m memory, a []uint64) errno {
	f, s, e := p.socketAt(a[0])
	switch {
	case e != eOK:
		return e
	case uint32(a[1])&^fdflagNonblock != 0 || !s.listens:
		return eInval
	}
	if _, e := m.bytes(a[2], 4); e != eOK {
		return e
	}
	for {
		c, e := s.accept()
		if e == eOK {
			n, e := p.add(&fd{opened: opened{file: c}, read: true, write: true, nonblock: a[1]&fdflagNonblock != 0})
			if e != eOK {
				_ = c.close()
				return e
			}
			return m.put32(a[2], n)
		}
		if e != eAgain {
			return e
		}
		if e := p.await(f, &waiting{what: "accepts a connection"}, awaited{sock: s}); e != eOK {
			return e
		}
	}
}

// Flags of sock_recv.
const (
	recvPeek = 1
	recvAll  = 2
)

// sockRecv reads from a connection.
//
//	sock_recv(fd, iovs, count, flags, read, flags) errno
func sockRecv(p *proc, m memory, a []uint64) errno {
	f, s, e := p.socketAt(a[0])
	switch {
	case e != eOK:
		return e
	case uint32(a[3])&^(recvPeek|recvAll) != 0:
		return eInval
	case uint32(a[3])&recvAll != 0:
		return eNotsup
	}
	b, e := m.bytes(a[5], 2)
	if e != eOK {
		return e
	}
	clear(b)
	return readSocket(p, m, a[1], a[2], a[4], f, s, a[3]&recvPeek != 0)
}

// readSocket is fd_read and sock_recv of a connection.
func readSocket(p *proc, m memory, iovs, count, result uint64, f *fd, s *socket, peek bool) errno {
	for {
		e := each(m, iovs, count, result, func(b []byte) (int, errno) { return s.recv(b, peek) })
		if e != eAgain {
			return e
		}
		if e := p.await(f, &waiting{what: "reads from a connection"}, awaited{sock: s}); e != eOK {
			return e
		}
	}
}

// sockSend writes to a connection. There are no flags.
//
//	sock_send(fd, iovs, count, flags, written) errno
func sockSend(p *proc, m memory, a []uint64) errno {
	f, s, e := p.socketAt(a[0])
	if e == eOK && uint32(a[3]) != 0 {
		e = eInval
	}
	if e != eOK {
		return e
	}
	return writeSocket(p, m, a[1], a[2], a[4], f, s)
}

// writeSocket is fd_write and sock_send of a connection. It writes all bytes, unless the descriptor must not wait.
func writeSocket(p *proc, m memory, iovs, count, result uint64, f *fd, s *socket) errno {
	parts, _, e := vector(m, iovs, count)
	if e != eOK {
		return e
	}
	done := 0
	if p.resumed != nil {
		done = p.resumed.done
	}
	skip := done
	for i := 0; i < len(parts); {
		b := parts[i]
		if skip >= len(b) {
			skip -= len(b)
			i++
			continue
		}
		n, e := s.write(b[skip:], false)
		done, skip = done+n, skip+n
		switch {
		case e == eOK:
			continue
		case e != eAgain && done == 0:
			return e
		case e != eAgain || f.nonblock && done > 0:
			return m.put32(result, uint32(done))
		}
		if e := p.await(f, &waiting{what: "writes to a connection", done: done, result: result}, awaited{sock: s, write: true}); e != eOK {
			return e
		}
	}
	return m.put32(result, uint32(done))
}

// vector returns the buffers of a vector, and the sum of their lengths.
func vector(m memory, iovs, count uint64) (parts [][]byte, total int, e errno) {
	n := uint64(uint32(count))
	if n > maxIovs {
		return nil, 0, eInval
	}
	list, e := m.bytes(iovs, n*8)
	if e != eOK {
		return nil, 0, e
	}
	for ; len(list) > 0; list = list[8:] {
		b, e := m.bytes(uint64(binary.LittleEndian.Uint32(list)), uint64(binary.LittleEndian.Uint32(list[4:])))
		if e != eOK {
			return nil, 0, e
		}
		b = b[:min(len(b), maxTransfer-total)]
		parts = append(parts, b)
		total += len(b)
	}
	return parts, total, eOK
}

// sockShutdown ends one or both directions of a connection.
//
//	sock_shutdown(fd, how) errno
func sockShutdown(p *proc, _ memory, a []uint64) errno {
	_, s, e := p.socketAt(a[0])
	switch how := uint32(a[1]); {
	case e != eOK:
		return e
	case how == 0 || how > 3:
		return eInval
	case s.listens:
		return eNotconn
	default:
		return shutdownFD(s.fd, int(how)-1)
	}
}
