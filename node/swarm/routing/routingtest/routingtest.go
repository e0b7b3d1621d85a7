// Package routingtest has a routing.Router in memory, for tests of the parts of a swarm.
//
// A Network is the Router. A Node is a peer behind it, which answers streams by a function.
// Nothing takes time but what a Node does, so tests run on synthetic time.
package routingtest

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A Network is a routing.Router in memory.
type Network struct {
	Book *routing.Book

	nodes   []*Node
	serving sync.WaitGroup
}

// A Node is a peer of a Network. Its fields are set before the Network is used.
type Node struct {
	Key protocol.Key
	// Apart says that the node is not connected, until Dial.
	Apart bool
	// Away says that Dial fails.
	Away bool
	// Delay is how long Dial takes.
	Delay time.Duration
	// Announced says that Lookup yields the node, whatever the key.
	Announced bool
	// Foreign says that the node has said that it speaks none of the protocols.
	Foreign bool
	// Serve answers one stream, whose other direction is closed when it returns.
	Serve func(protocol string, st *Stream)

	mu     sync.Mutex
	opened int
	resets []uint32
}

// New returns a Network without nodes. The test ends after all streams have.
func New(t testing.TB) *Network {
	n := &Network{Book: routing.NewBook()}
	t.Cleanup(n.serving.Wait)
	return n
}

// Key returns the private key of the node with a number, the first of which is 1.
func Key(n int) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = byte(n)
	return ed25519.NewKeyFromSeed(seed)
}

// PIDs returns the PIDs of n packages, always the same.
func PIDs(n int) []pir.PID {
	ids := make([]pir.PID, n)
	for i := range ids {
		ids[i] = pir.Sum(fmt.Append(nil, "package ", i))
	}
	return ids
}

// Statement returns the text of a signer's statement about a package.
func Statement(t testing.TB, key ed25519.PrivateKey, id pir.PID) []byte {
	t.Helper()
	a := &protocol.Attestation{PID: id, CID: cid.Sum(cid.Raw, id[:]), Size: 1, Issued: time.Now()}
	if err := a.Sign(key); err != nil {
		t.Fatal(err)
	}
	text, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Add adds a connected node.
func (n *Network) Add(serve func(protocol string, st *Stream)) *Node {
	p := &Node{Key: protocol.KeyOf(Key(len(n.nodes) + 1)), Serve: serve}
	n.nodes = append(n.nodes, p)
	return p
}

// Node returns the node with a key, or nil.
func (n *Network) Node(key protocol.Key) *Node {
	for _, p := range n.nodes {
		if p.Key == key {
			return p
		}
	}
	return nil
}

// Peer implements routing.Router.
func (n *Network) Peer(key protocol.Key) *routing.Peer { return n.Book.Peer(key) }

// IsConnected implements routing.Router.
func (n *Network) IsConnected(p *routing.Peer) bool {
	node := n.Node(p.Key)
	return node != nil && node.connected()
}

func (p *Node) connected() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.Apart
}

// Refuses implements routing.Router.
func (n *Network) Refuses(p *routing.Peer, _ string) bool { return n.Node(p.Key).Foreign }

// Connected implements routing.Router.
func (n *Network) Connected(most int) (list []*routing.Peer) {
	for _, node := range n.nodes {
		if p := n.Book.Peer(node.Key); node.connected() && p.Ready() && len(list) < most {
			list = append(list, p)
		}
	}
	return list
}

// Lookup implements routing.Router.
func (n *Network) Lookup(context.Context, [32]byte, int) iter.Seq[routing.Provider] {
	return func(yield func(routing.Provider) bool) {
		for _, node := range n.nodes {
			if node.Announced && !yield(routing.Provider{Key: node.Key}) {
				return
			}
		}
	}
}

// Dial implements routing.Router.
func (n *Network) Dial(_ context.Context, p routing.Provider) error {
	node := n.Node(p.Key)
	if node == nil || node.Away {
		return errors.New("nobody is there")
	}
	time.Sleep(node.Delay)
	node.mu.Lock()
	defer node.mu.Unlock()
	node.Apart = false
	return nil
}

// Open implements routing.Router.
func (n *Network) Open(ctx context.Context, p *routing.Peer, name string) (routing.Stream, error) {
	node := n.Node(p.Key)
	if node == nil || !node.connected() {
		return nil, errors.New("not connected")
	}
	here, there := Streams()
	here.reset = func(code uint32) {
		node.mu.Lock()
		defer node.mu.Unlock()
		node.resets = append(node.resets, code)
	}
	here.mu.Lock() // ctx may have ended
	here.stop = context.AfterFunc(ctx, func() { here.end(0) })
	here.mu.Unlock()
	node.mu.Lock()
	node.opened++
	node.mu.Unlock()
	n.serving.Go(func() {
		node.Serve(name, there)
		_ = there.CloseWrite()
		_, _ = io.Copy(io.Discard, there) // until the other end ends it
	})
	return here, nil
}

// Opened is how many streams were opened to the node.
func (p *Node) Opened() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened
}

// Resets are the codes with which the streams to the node were reset.
func (p *Node) Resets() []uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]uint32(nil), p.resets...)
}

// A Stream is one end of a stream in memory. It has no buffer: a write waits for the read.
type Stream struct {
	in, out net.Conn
	other   *Stream
	stop    func() bool
	reset   func(code uint32)

	mu    sync.Mutex
	ended bool
	err   error // after the other end's reset
	over  chan struct{}
}

// Streams returns both ends of a stream.
func Streams() (a, b *Stream) {
	a1, b1 := net.Pipe()
	b2, a2 := net.Pipe()
	a, b = &Stream{in: a2, out: a1, over: make(chan struct{})}, &Stream{in: b1, out: b2, over: make(chan struct{})}
	a.other, b.other = b, a
	return a, b
}

// Read implements io.Reader.
func (s *Stream) Read(b []byte) (int, error) {
	n, err := s.in.Read(b)
	return n, s.why(err)
}

// Write implements io.Writer.
func (s *Stream) Write(b []byte) (int, error) {
	n, err := s.out.Write(b)
	return n, s.why(err)
}

// why is the error of a read or write: that of a reset if there was one.
func (s *Stream) why(err error) error {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	return err
}

// CloseWrite implements routing.Stream.
func (s *Stream) CloseWrite() error { return s.out.Close() }

// Reset implements routing.Stream.
func (s *Stream) Reset(code uint32) { s.end(code) }

func (s *Stream) end(code uint32) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended = true
	stop := s.stop
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
	if s.reset != nil {
		s.reset(code)
	}
	s.other.mu.Lock()
	if s.other.err == nil {
		s.other.err = &routing.ResetError{Code: code, Err: errors.New("stream reset")}
	}
	s.other.mu.Unlock()
	s.in.Close()
	s.out.Close()
	close(s.over)
}

// Wait waits until the other end has reset the stream.
func (s *Stream) Wait() { <-s.other.over }

// SetDeadline implements routing.Stream.
func (s *Stream) SetDeadline(t time.Time) error {
	_, _ = s.SetReadDeadline(t), s.SetWriteDeadline(t)
	return nil
}

// SetReadDeadline implements routing.Stream. After the end, reading says why.
func (s *Stream) SetReadDeadline(t time.Time) error {
	_ = s.in.SetReadDeadline(t)
	return nil
}

// SetWriteDeadline implements routing.Stream. After the end, writing says why.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	_ = s.out.SetWriteDeadline(t)
	return nil
}
