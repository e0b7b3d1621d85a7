package peers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	libp2pyamux "github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-yamux/v5"
)

const (
	// streamWindow is how many bytes of one stream may be on their way or unread. With less, who gives waits for who takes again and
	// again. yamux has a way to begin with less and open it, which loses a part of the window each time, until nothing comes any more.
	streamWindow = 8 << 20
	// messageSize is how many bytes of one stream yamux writes at once. Whoever writes them waits for nobody, so each is a handover
	// from one goroutine to another, and from one end of the connection to the other.
	messageSize = 256 << 10
	// unreadStep is in what steps memory for what is unread is reserved; as much is free.
	unreadStep = 1 << 20
)

// A muxer is yamux with large windows. What a window allows is no memory yet, so what has come and was not read is counted and
// reserved, for each connection, and nothing more is read from one that has no room: streams that nobody reads hold up the others
// of their peer then, so whoever opens one reads it or gives it up.
// The protocol is https://github.com/hashicorp/yamux/blob/master/spec.md.
type muxer struct{ config *yamux.Config }

func newMuxer() *muxer {
	c := *libp2pyamux.DefaultTransport.Config()
	c.MaxMessageSize = messageSize
	c.InitialStreamWindowSize, c.MaxStreamWindowSize = streamWindow, streamWindow
	return &muxer{&c}
}

// NewConn implements network.Multiplexer.
func (m *muxer) NewConn(c net.Conn, isServer bool, scope network.PeerScope) (network.MuxedConn, error) {
	u := &unread{Conn: c, streams: map[uint32]int64{}}
	u.changed.L = &u.mu
	if scope != nil {
		span, err := scope.BeginSpan()
		if err != nil {
			return nil, err
		}
		u.span = span
	}
	begin := yamux.Client
	if isServer {
		begin = yamux.Server
	}
	s, err := begin(u, m.config, nil)
	if err != nil {
		u.done()
		return nil, err
	}
	return &muxedConn{libp2pyamux.NewMuxedConn(s), s, u}, nil
}

// A muxedConn is a connection whose streams count what is read.
type muxedConn struct {
	network.MuxedConn
	session *yamux.Session
	unread  *unread
}

// OpenStream implements network.MuxedConn.
func (c *muxedConn) OpenStream(ctx context.Context) (network.MuxedStream, error) {
	s, err := c.session.OpenStream(ctx)
	if err != nil {
		return nil, libp2pError(err)
	}
	c.unread.opened(s.StreamID())
	return &muxedStream{s, c.unread}, nil
}

// AcceptStream implements network.MuxedConn.
func (c *muxedConn) AcceptStream() (network.MuxedStream, error) {
	s, err := c.session.AcceptStream()
	if err != nil {
		return nil, libp2pError(err)
	}
	return &muxedStream{s, c.unread}, nil
}

type muxedStream struct {
	*yamux.Stream
	unread *unread
}

func (s *muxedStream) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	s.unread.read(s.StreamID(), n)
	return n, libp2pError(err)
}

func (s *muxedStream) Write(b []byte) (int, error) {
	n, err := s.Stream.Write(b)
	return n, libp2pError(err)
}

func (s *muxedStream) Close() error {
	defer s.unread.forget(s.StreamID())
	return s.Stream.Close()
}

func (s *muxedStream) Reset() error { return s.ResetWithError(0) }

func (s *muxedStream) ResetWithError(code network.StreamErrorCode) error {
	defer s.unread.forget(s.StreamID())
	return s.Stream.ResetWithError(uint32(code))
}

// libp2pError turns errors of yamux into those that libp2p knows.
func libp2pError(err error) error {
	var stream *yamux.StreamError
	var conn *yamux.GoAwayError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &stream):
		return &network.StreamError{Remote: stream.Remote, ErrorCode: network.StreamErrorCode(stream.ErrorCode), TransportError: err}
	case errors.As(err, &conn):
		return &network.ConnError{Remote: conn.Remote, ErrorCode: network.ConnErrorCode(conn.ErrorCode), TransportError: err}
	case errors.Is(err, yamux.ErrStreamReset):
		return fmt.Errorf("%w: %w", network.ErrReset, err)
	}
	return err
}

// Unread is a connection on which frames of yamux come. It counts what each stream has of bytes that nobody has read, and waits
// with reading more when there is no memory for more of them. yamux reads it in one goroutine.
type unread struct {
	net.Conn

	head []byte // of a frame, as far as it has come
	body int64  // bytes that are left of a frame of data
	id   uint32 // its stream

	mu       sync.Mutex
	changed  sync.Cond
	span     network.ResourceScopeSpan
	streams  map[uint32]int64 // unread bytes of those that are open
	newest   [2]uint32        // stream of each side
	sum      int64
	reserved int64
	closed   bool
}

const (
	frameHead   = 12
	frameOfData = 0
	frameSYN    = 1
)

// Read implements net.Conn.
func (u *unread) Read(b []byte) (int, error) {
	u.room()
	n, err := u.Conn.Read(b)
	u.came(b[:n])
	return n, err
}

// Close implements net.Conn.
func (u *unread) Close() error {
	u.done()
	return u.Conn.Close()
}

// came looks at what has come.
func (u *unread) came(b []byte) {
	for len(b) > 0 {
		if u.body > 0 {
			n := min(u.body, int64(len(b)))
			u.body -= n
			u.add(u.id, n)
			b = b[n:]
			continue
		}
		n := min(frameHead-len(u.head), len(b))
		u.head = append(u.head, b[:n]...)
		b = b[n:]
		if len(u.head) < frameHead {
			return
		}
		h := u.head
		u.head = u.head[:0]
		u.id = binary.BigEndian.Uint32(h[4:])
		if binary.BigEndian.Uint16(h[2:])&frameSYN != 0 {
			u.opened(u.id)
		}
		if h[1] == frameOfData {
			u.body = int64(binary.BigEndian.Uint32(h[8:]))
		}
	}
}

// opened notes a stream.
func (u *unread) opened(id uint32) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.newest[id%2] = max(u.newest[id%2], id)
	u.streams[id] += 0
}

// add counts bytes that have come. yamux drops those of a stream that is closed; of one that is newer than all, OpenStream has not
// returned yet.
func (u *unread) add(id uint32, n int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, open := u.streams[id]; open || id > u.newest[id%2] {
		u.streams[id] += n
		u.sum += n
	}
}

// read counts bytes that were read.
func (u *unread) read(id uint32, n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if have, open := u.streams[id]; open {
		u.less(min(have, int64(n)))
		u.streams[id] = max(0, have-int64(n))
	}
}

// forget drops what a closed stream has.
func (u *unread) forget(id uint32) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.less(u.streams[id])
	delete(u.streams, id)
}

// less gives memory back. u.mu is held.
func (u *unread) less(n int64) {
	u.sum -= n
	if spare := u.reserved - u.sum; spare > 2*unreadStep {
		u.release(spare / unreadStep * unreadStep)
	}
	u.changed.Signal()
}

func (u *unread) release(n int64) {
	if u.span != nil && n > 0 {
		u.span.ReleaseMemory(int(n))
	}
	u.reserved -= n
}

// room waits until there is memory for more.
func (u *unread) room() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for !u.closed && u.sum > u.reserved+unreadStep {
		if u.span == nil || u.span.ReserveMemory(unreadStep, network.ReservationPriorityAlways) == nil {
			u.reserved += unreadStep
			continue
		}
		u.changed.Wait()
	}
}

// done gives everything back.
func (u *unread) done() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.closed {
		u.closed = true
		if u.span != nil {
			u.span.Done()
		}
		u.changed.Broadcast()
	}
}
