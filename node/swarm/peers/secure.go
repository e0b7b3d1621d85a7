package peers

import (
	"context"
	"net"
	"sync"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	p2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	p2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

const (
	// inRoom is how many bytes are read from a socket at once: several records of TLS, which itself reads them one by one.
	// A socket that has filled it is read in steps of mostIn from then on, since each read of a large answer waits for the next one.
	inRoom, mostIn = 16 << 10, 256 << 10
	// outRoom is how many bytes are written to a socket at once: what yamux writes, and what TLS adds to it.
	outRoom = messageSize + messageSize/16
)

// A secure is libp2p's TLS over sockets that are read and written in larger pieces than TLS records.
type secure struct{ *p2ptls.Transport }

func newSecure(id p2pprotocol.ID, key crypto.PrivKey, muxers []upgrader.StreamMuxer) (*secure, error) {
	t, err := p2ptls.New(id, key, muxers)
	return &secure{t}, err
}

// SecureInbound implements sec.SecureTransport.
func (s *secure) SecureInbound(ctx context.Context, insecure net.Conn, p peer.ID) (sec.SecureConn, error) {
	raw := newPieces(insecure)
	c, err := s.Transport.SecureInbound(ctx, raw, p)
	return whole(c, raw, err)
}

// SecureOutbound implements sec.SecureTransport.
func (s *secure) SecureOutbound(ctx context.Context, insecure net.Conn, p peer.ID) (sec.SecureConn, error) {
	raw := newPieces(insecure)
	c, err := s.Transport.SecureOutbound(ctx, raw, p)
	return whole(c, raw, err)
}

func whole(c sec.SecureConn, raw *pieces, err error) (sec.SecureConn, error) {
	if err != nil {
		return nil, err
	}
	return &secureConn{c, raw}, nil
}

// A secureConn writes all records of one Write to the socket at once.
type secureConn struct {
	sec.SecureConn
	raw *pieces
}

func (c *secureConn) Write(b []byte) (int, error) {
	c.raw.gather()
	n, err := c.SecureConn.Write(b)
	if e := c.raw.release(); err == nil {
		err = e
	}
	return n, err
}

// pieces is a socket that is read in pieces of inRoom or mostIn, and that collects writes between gather and release.
type pieces struct {
	net.Conn
	room []byte // of in
	in   []byte // bytes that were read from the socket and not returned

	mu        sync.Mutex
	gathering int // how many writers gather
	out       *[]byte
}

var outs = sync.Pool{New: func() any { b := make([]byte, 0, outRoom); return &b }}

func newPieces(c net.Conn) *pieces { return &pieces{Conn: c, room: make([]byte, inRoom)} }

// Read implements net.Conn. One goroutine reads at a time, as TLS does.
func (p *pieces) Read(b []byte) (int, error) {
	if len(p.in) == 0 {
		if len(b) >= len(p.room) {
			return p.Conn.Read(b)
		}
		n, err := p.Conn.Read(p.room)
		p.in = p.room[:n]
		if n == 0 {
			return 0, err
		}
		if n == len(p.room) && n < mostIn {
			p.room = make([]byte, mostIn)
		}
	}
	n := copy(b, p.in)
	p.in = p.in[n:]
	return n, nil
}

func (p *pieces) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gathering == 0 {
		return p.Conn.Write(b)
	}
	if p.out == nil {
		p.out = outs.Get().(*[]byte)
	}
	if len(*p.out)+len(b) > cap(*p.out) {
		if err := p.flush(); err != nil {
			return 0, err
		}
	}
	*p.out = append(*p.out, b...)
	return len(b), nil
}

func (p *pieces) gather() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gathering++
}

// release writes the collected bytes.
func (p *pieces) release() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gathering--
	if p.out == nil {
		return nil
	}
	err := p.flush()
	outs.Put(p.out)
	p.out = nil
	return err
}

func (p *pieces) flush() error {
	_, err := p.Conn.Write(*p.out)
	*p.out = (*p.out)[:0]
	return err
}
