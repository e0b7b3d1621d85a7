package peers

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/MordragT/nuka/node/swarm/routing"
)

// openTimeout is how long a peer may take to accept a stream.
const openTimeout = 5 * time.Second

// A stream is a stream of libp2p as a routing.Stream.
type stream struct {
	network.Stream
	stop func() bool // ends the watch on the context that the stream was opened with
}

func noStop() bool { return false }

// Read implements io.Reader.
func (s *stream) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	return n, resetError(err)
}

// Write implements io.Writer.
func (s *stream) Write(b []byte) (int, error) {
	n, err := s.Stream.Write(b)
	return n, resetError(err)
}

// Reset implements routing.Stream.
func (s *stream) Reset(code uint32) {
	s.stop()
	_ = s.ResetWithError(network.StreamErrorCode(code)) // it fails only when the stream is over
}

// resetError turns the error for a stream that the peer has reset into routing's.
func resetError(err error) error {
	var reset *network.StreamError
	if err != nil && errors.As(err, &reset) && reset.Remote {
		return &routing.ResetError{Code: uint32(reset.ErrorCode), Err: err}
	}
	return err
}

// abort resets a stream of libp2p; it fails only when the stream is over.
func abort(st network.Stream) { _ = st.Reset() }

// Open implements routing.Router.
func (h *Host) Open(ctx context.Context, p *routing.Peer, name string) (routing.Stream, error) {
	id, err := idOf(p.Key)
	if err != nil {
		return nil, err
	}
	return h.open(ctx, id, name)
}

// open opens a stream to a connected peer. It is reset when ctx ends.
func (h *Host) open(ctx context.Context, id peer.ID, name string) (*stream, error) {
	short, cancel := context.WithTimeout(network.WithNoDial(network.WithAllowLimitedConn(ctx, name), name), openTimeout)
	defer cancel()
	st, err := h.host.NewStream(short, id, h.protocol(name))
	if err != nil {
		return nil, err
	}
	return &stream{Stream: st, stop: context.AfterFunc(ctx, func() { abort(st) })}, nil
}

// settleTime is how long after the connection a peer may send a list of protocols without those that it began to answer a moment before: libp2p
// sends the list that it last noted, and an update follows. settlePoll is how often the list is looked at meanwhile. Both chosen: the update
// takes milliseconds.
const (
	settleTime = 500 * time.Millisecond
	settlePoll = 10 * time.Millisecond
)

// Refuses implements routing.Router. It waits up to settleTime for a peer that has just connected.
func (h *Host) Refuses(p *routing.Peer, name string) bool {
	id, err := idOf(p.Key)
	if err != nil {
		return true
	}
	for {
		spoken, err := h.host.Peerstore().GetProtocols(id) // none until the peer has said
		if err != nil || len(spoken) == 0 || slices.Contains(spoken, h.protocol(name)) {
			return false
		}
		if !h.justConnected(id) {
			return true
		}
		time.Sleep(settlePoll)
	}
}

// justConnected reports whether a peer is connected, and has been for less than settleTime.
func (h *Host) justConnected(id peer.ID) bool {
	conns := h.host.Network().ConnsToPeer(id)
	return len(conns) > 0 && !slices.ContainsFunc(conns, func(c network.Conn) bool { return time.Since(c.Stat().Opened) >= settleTime })
}
