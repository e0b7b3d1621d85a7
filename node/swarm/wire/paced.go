package wire

import (
	"errors"
	"net"
	"time"

	"github.com/MordragT/nuka/node/swarm/routing"
)

// A Paced reader reads a stream whose peer must send bytes at a rate, beside some time that it has anyway: a peer that sends less
// runs out of time. A caller that finds bytes useless sets Until back to what it was before them.
// It counts what the peer sends. One goroutine uses it.
type Paced struct {
	routing.Stream
	Peer  *routing.Peer
	Until time.Time // when reading ends if nothing more arrives
	Rate  int       // in bytes a second
	// Credit bounds how many bytes buy time before Useful is called; 0 is no bound.
	Credit, used int
}

// Useful says that something of what arrived is useful.
func (p *Paced) Useful() { p.used = 0 }

// Read implements io.Reader.
func (p *Paced) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(p.Until); err != nil {
		return 0, err
	}
	n, err := p.Stream.Read(b)
	p.Peer.AddReceived(n)
	buys := n
	if p.Credit > 0 {
		buys = min(n, p.Credit-p.used)
		p.used += buys
	}
	p.Until = p.Until.Add(time.Duration(buys) * time.Second / time.Duration(p.Rate))
	return n, err
}

// Late reports whether a read failed because the peer ran out of time.
func Late(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
