package routing

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/MordragT/nuka/protocol"
)

const (
	// AskRate and AskBurst bound how many PIDs and keys one peer may ask about, in a second and at once.
	AskRate, AskBurst = 4096, 16 * protocol.MaxAsked
	// blockRate and blockBurst bound the same for blocks, which are cheaper to look up; Options.Up bounds their bytes.
	blockRate, blockBurst = 400_000, 1 << 16
	// maxPeers bounds how many peers a Book remembers.
	maxPeers = 4096
	// firstBackoff and lastBackoff are how long a peer that failed is left alone, at first and at most.
	firstBackoff, lastBackoff = time.Second, 10 * time.Minute
	// lieWeight is how many failures one lie counts for.
	lieWeight = 8
)

// A Peer is what this node remembers about a peer. All methods may be called from many goroutines.
type Peer struct {
	Key protocol.Key
	// Asks and Wants bound what the peer may ask for: PIDs and keys, and blocks.
	Asks, Wants *rate.Limiter

	book           *Book
	received, sent atomic.Int64

	mu       sync.Mutex
	latency  time.Duration // smoothed time to a first answer; 0 is unknown
	failures int
	until    time.Time // left alone until then
	useful   bool      // it has sent something that was verified
	called   bool      // the user asked for a connection to it
}

// A Book remembers peers.
type Book struct {
	// Received and Sent count the bytes of the swarm's protocols; Lies and Failures count occasions. All are sums over all peers.
	Received, Sent, Lies, Failures atomic.Int64
	// NewlyUseful gets a signal when a peer sends something useful for the first time.
	NewlyUseful chan struct{}

	mu    sync.Mutex
	peers map[protocol.Key]*Peer
}

// NewBook returns an empty Book.
func NewBook() *Book {
	return &Book{peers: map[protocol.Key]*Peer{}, NewlyUseful: make(chan struct{}, 1)}
}

// Peer returns the record of a peer, a new one if the Book has none.
func (b *Book) Peer(key protocol.Key) *Peer {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.peers[key]
	if p == nil {
		if len(b.peers) >= maxPeers {
			b.forget()
		}
		p = &Peer{Key: key, book: b, Asks: rate.NewLimiter(AskRate, AskBurst), Wants: rate.NewLimiter(blockRate, blockBurst)}
		b.peers[key] = p
	}
	return p
}

// forget drops about a quarter of the peers, and those with a reason to be remembered last.
func (b *Book) forget() {
	drop := len(b.peers) / 4
	for _, sparing := range []bool{true, false} {
		for key, p := range b.peers {
			if drop == 0 {
				return
			}
			if sparing && p.memorable() {
				continue
			}
			delete(b.peers, key)
			drop--
		}
	}
}

// Reasons reports whether the user asked for a connection to a peer, and whether the peer has sent something useful.
func (b *Book) Reasons(key protocol.Key) (called, useful bool) {
	b.mu.Lock()
	p := b.peers[key]
	b.mu.Unlock()
	if p == nil {
		return false, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.called, p.useful
}

// Useful returns the peers that have sent something useful.
func (b *Book) Useful() []*Peer {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []*Peer
	for _, p := range b.peers {
		p.mu.Lock()
		if p.useful {
			list = append(list, p)
		}
		p.mu.Unlock()
	}
	return list
}

// LogValue implements slog.LogValuer.
func (p *Peer) LogValue() slog.Value { return slog.StringValue(p.Key.String()) }

func (p *Peer) memorable() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.useful || p.called || p.failures > 0
}

// Ready reports whether the peer may be asked: it is not left alone for a failure.
func (p *Peer) Ready() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !time.Now().Before(p.until)
}

// Failed records a failure: the peer is left alone, each time for twice as long.
func (p *Peer) Failed() {
	p.book.Failures.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := min(firstBackoff<<min(p.failures, 20), lastBackoff)
	p.failures++
	p.until = time.Now().Add(wait)
}

// Lied records a lie (ErrLied): the peer is left alone for the longest time.
func (p *Peer) Lied() {
	p.book.Lies.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures += lieWeight
	p.until = time.Now().Add(lastBackoff)
}

// Forgive forgets the peer's failures.
func (p *Peer) Forgive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures, p.until = 0, time.Time{}
}

// Called records that the user asked for a connection to the peer, and forgets its failures.
func (p *Peer) Called() {
	p.Forgive()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.called = true
}

// AddReceived counts bytes that the peer sent.
func (p *Peer) AddReceived(n int) {
	p.received.Add(int64(n))
	p.book.Received.Add(int64(n))
}

// AddSent counts bytes that this node sent to the peer.
func (p *Peer) AddSent(n int) {
	p.sent.Add(int64(n))
	p.book.Sent.Add(int64(n))
}

// Traffic returns how many bytes of the swarm's protocols the peer sent, and how many this node sent to it.
func (p *Peer) Traffic() (received, sent int64) { return p.received.Load(), p.sent.Load() }

// Answered records how long a first answer took, and forgets the peer's failures.
func (p *Peer) Answered(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures, p.until = 0, time.Time{}
	if p.latency == 0 {
		p.latency = took
	} else {
		p.latency += (took - p.latency) / 4
	}
}

// WasUseful records that the peer sent something useful.
func (p *Peer) WasUseful() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.useful {
		return
	}
	p.useful = true
	select {
	case p.book.NewlyUseful <- struct{}{}:
	default: // a signal is waiting already
	}
}

// Latency is the smoothed time to a first answer; 0 is unknown.
func (p *Peer) Latency() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.latency
}
