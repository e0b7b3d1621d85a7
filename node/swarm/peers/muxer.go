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
	// streamWindow is how many bytes of one stream may be in flight or unread. With a smaller window the sender waits for the receiver again
	// and again. yamux can begin with a smaller window and grow it, but loses a part of the window each time, until nothing arrives any more.
	streamWindow = 8 << 20
	// messageSize is how many bytes of one stream yamux writes at once. The writer does not wait for them, so each message is a handover from
	// one goroutine to another, and from one end of the connection to the other.
	messageSize = 256 << 10
	// unreadStep is the step in which memory for unread bytes is reserved; as many unread bytes need no reservation.
	unreadStep = 1 << 20
)

// A muxer is yamux with large windows. A window is not memory yet, so the bytes that arrived and were not read are counted and reserved, for
// each connection. A connection without room is not read: its unread streams then block its other streams, so the owner of a stream reads it
// or resets it.
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

// A muxedConn is a connection whose streams count the bytes that are read.
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

// libp2pError turns errors of yamux into libp2p's.
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

// unread is a connection that carries frames of yamux. It counts the unread bytes of each stream, and does not read more while there is no
// memory for them. yamux reads it in one goroutine.
type unread struct {
	net.Conn

	head []byte // of a frame, as far as it has arrived
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

// came parses the frames in bytes that arrived.
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

// opened records a stream.
func (u *unread) opened(id uint32) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.newest[id%2] = max(u.newest[id%2], id)
	u.streams[id] += 0
}

// add counts bytes that arrived. yamux drops those of a closed stream. Of a stream newer than all others, OpenStream has not returned yet.
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

// forget drops the unread bytes of a closed stream.
func (u *unread) forget(id uint32) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.less(u.streams[id])
	delete(u.streams, id)
}

// less gives back the memory of n bytes. u.mu is held.
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

// room waits until there is memory for more unread bytes.
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

// done gives all memory back.
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
