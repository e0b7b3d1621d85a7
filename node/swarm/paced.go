package swarm

import (
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// A paced is a stream on which a peer must give bytes at a rate, beside some time that it has anyway: whoever gives fewer runs out
// of time. It counts what the peer gives. One goroutine reads it.
type paced struct {
	network.Stream
	m     *member
	until time.Time // if nothing more comes
	rate  int       // in bytes a second
}

// Read implements io.Reader.
func (p *paced) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(p.until); err != nil {
		return 0, err
	}
	n, err := p.Stream.Read(b)
	p.m.took(n)
	p.until = p.until.Add(time.Duration(n) * time.Second / time.Duration(p.rate))
	return n, err
}
