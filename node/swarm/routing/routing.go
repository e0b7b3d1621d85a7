// Package routing is how the parts of a swarm reach its peers: the Router, and what is remembered about each peer.
//
// A Peer is the record of one node: how fast it answered, whether it was useful, and until when it is left alone.
// A Book keeps the records.
// A Provider is a peer that a provider record of the DHT names, which proves nothing.
// A Stream carries one exchange with a peer.
// A Requester is the peer at the other end of a stream that a peer has opened.
//
// The package opens no sockets. node/swarm/peers implements Router over libp2p, and tests implement it in memory.
package routing

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A Router finds peers and opens streams to them. All methods may be called from many goroutines, also when the swarm does not run:
// then there are no peers.
type Router interface {
	// Connected returns at most n connected peers that may be asked and are not left alone, the best first.
	Connected(n int) []*Peer
	// Lookup yields the peers that announce a key in the DHT, at most n (0 is no bound), as they are found.
	Lookup(ctx context.Context, key [32]byte, n int) iter.Seq[Provider]
	// Dial connects to a peer unless it is connected, and returns once both sides have admitted each other.
	// It looks for the peer's addresses if none are known.
	Dial(ctx context.Context, p Provider) error
	// Open opens a stream of a protocol, which is named without the swarm's prefix, to a connected peer.
	// The stream is reset when ctx ends. The caller resets it when it is done with it.
	Open(ctx context.Context, p *Peer, protocol string) (Stream, error)

	// Peer returns the record of a peer.
	Peer(key protocol.Key) *Peer
	// IsConnected reports whether a peer is connected and admitted.
	IsConnected(p *Peer) bool
	// Refuses reports whether a connected peer has said which protocols it speaks, and this is none of them.
	Refuses(p *Peer, protocol string) bool
}

// A Provider is a peer that announces a key, with the addresses that the record names.
type Provider struct {
	Key protocol.Key
	// Addresses are multiaddrs without a peer id. None: Dial takes those that are known, or looks for them.
	Addresses []string
	// Known says that this node has a reason to believe the peer: its user chose it, or it has sent something useful before.
	Known bool
}

// A Stream carries one exchange with a peer.
// Read and Write return a *ResetError when the peer has reset the stream.
type Stream interface {
	io.ReadWriter
	// CloseWrite says that nothing more will be written.
	CloseWrite() error
	// Reset ends the stream at once in both directions; 0 is the code for no reason. Only the first Reset counts.
	Reset(code uint32)
	SetDeadline(t time.Time) error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

// A ResetError says that the peer has reset a stream.
type ResetError struct {
	Code uint32
	Err  error
}

func (e *ResetError) Error() string { return e.Err.Error() }

func (e *ResetError) Unwrap() error { return e.Err }

// A Handler answers one stream that a peer has opened. The stream is closed after nil and io.EOF, and reset after other errors.
type Handler func(ctx context.Context, st Stream, p *Peer, from Requester) error

// A Requester is a peer that asks this node for something.
type Requester struct {
	Key protocol.Key
	// Private says that the peer has a private address or one of this machine, and is reached without a relay.
	Private bool
}

// An Announcement is a provider record for the DHT, or several: this node has statements about a PID, holds the whole content of a root, or has heads of what a
// signer publishes. Zero fields announce nothing.
type Announcement struct {
	PID    pir.PID
	Root   cid.CID
	Signer protocol.Key
}

var (
	// ErrLied says that a peer sent what an honest peer cannot send.
	ErrLied = errors.New("no honest peer sends this")
	// ErrStalled says that a peer has sent next to nothing for a long time.
	ErrStalled = errors.New("it stalls")
)
