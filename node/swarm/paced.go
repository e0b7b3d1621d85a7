package swarm

import (
	"errors"
	"net"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// A paced is a stream on which a peer must give bytes at a rate, beside some time that it has anyway: whoever gives fewer runs out
// of time. A caller that finds bytes of no use sets until back to what it was before them. It counts what the peer gives. One goroutine
// uses it.
type paced struct {
	network.Stream
	m     *member
	until time.Time // if nothing more comes
	rate  int       // in bytes a second
	// credit bounds the bytes that buy time before useful is called; 0 is no bound.
	credit, used int
}

// useful says that something of what came is of use.
func (p *paced) useful() { p.used = 0 }

// Read implements io.Reader.
func (p *paced) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(p.until); err != nil {
		return 0, err
	}
	n, err := p.Stream.Read(b)
	p.m.took(n)
	buys := n
	if p.credit > 0 {
		buys = min(n, p.credit-p.used)
		p.used += buys
	}
	p.until = p.until.Add(time.Duration(buys) * time.Second / time.Duration(p.rate))
	return n, err
}

// late reports whether a stream failed as its peer has run out of time.
func late(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
