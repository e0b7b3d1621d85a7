package swarm

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"golang.org/x/time/rate"

	"github.com/MordragT/nuka/protocol"
)

const (
	// askRate and askBurst bound how many things a peer may ask about in a second, and at once.
	askRate, askBurst = 4096, 16 * protocol.MaxAsked
	// blockRate and blockBurst bound the same for blocks, which are cheaper to look for; Options.Up bounds their bytes.
	blockRate, blockBurst = 400_000, 1 << 16
	// maxMembers bounds the peers that are remembered.
	maxMembers = 4096
	// firstBackoff and lastBackoff are how long a peer that failed is left alone.
	firstBackoff, lastBackoff = time.Second, 10 * time.Minute
)

// A member is what is known about a peer.
type member struct {
	id   peer.ID
	book *book
	// asks and wants bound what it asks for, about PIDs and of blocks.
	asks, wants *rate.Limiter
	// received and sent are bytes of our protocols since it is known.
	received, sent atomic.Int64

	mu       sync.Mutex
	latency  time.Duration // smoothed time to a first answer; 0 is unknown
	failures int
	until    time.Time // it is left alone until then
	useful   bool      // it has given something that was verified
	called   bool      // somebody has asked for a connection to it
}

// A book remembers peers.
type book struct {
	// received and sent are bytes of our protocols, lies, stalls and failures how often there were some; of all peers since New.
	received, sent, lies, stalls, failures atomic.Int64
	// providers counts what those proved to be that the DHT named as holders of a root.
	providers struct{ holders, without, unreachable atomic.Int64 }

	// useful gets a signal when another peer was of use.
	useful chan struct{}

	mu      sync.Mutex
	members map[peer.ID]*member
}

func newBook() *book { return &book{members: map[peer.ID]*member{}, useful: make(chan struct{}, 1)} }

// get returns what is known about a peer.
func (b *book) get(id peer.ID) *member {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.members[id]
	if m == nil {
		if len(b.members) >= maxMembers {
			b.forget()
		}
		m = &member{id: id, book: b, asks: rate.NewLimiter(askRate, askBurst), wants: rate.NewLimiter(blockRate, blockBurst)}
		b.members[id] = m
	}
	return m
}

// forget drops about a quarter of the peers, those that were of use last.
func (b *book) forget() {
	drop := len(b.members) / 4
	for _, sparing := range []bool{true, false} {
		for id, m := range b.members {
			if drop == 0 {
				return
			}
			if m.spared() && sparing {
				continue
			}
			delete(b.members, id)
			drop--
		}
	}
}

func (m *member) spared() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.useful || m.called || m.failures > 0
}

// ready says that the peer is not left alone.
func (m *member) ready() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !time.Now().Before(m.until)
}

// failed leaves the peer alone for a while, each time for twice as long.
func (m *member) failed() {
	m.book.failures.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	wait := min(firstBackoff<<min(m.failures, 20), lastBackoff)
	m.failures++
	m.until = time.Now().Add(wait)
}

// lied leaves the peer alone for long: it gave what it cannot have verified.
func (m *member) lied() {
	m.book.lies.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures += 8
	m.until = time.Now().Add(lastBackoff)
}

// took and gives count bytes that came from the peer, and that went to it.
func (m *member) took(n int) {
	m.received.Add(int64(n))
	m.book.received.Add(int64(n))
}

func (m *member) gives(n int) {
	m.sent.Add(int64(n))
	m.book.sent.Add(int64(n))
}

// answered notes how long a first answer took.
func (m *member) answered(took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures, m.until = 0, time.Time{}
	if m.latency == 0 {
		m.latency = took
	} else {
		m.latency += (took - m.latency) / 4
	}
}

// gave notes that the peer gave something of use.
func (m *member) gave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.useful {
		m.useful = true
		signal(m.book.useful)
	}
}

func (m *member) lag() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.latency
}

// A class of peers is how early they are asked. Whoever fills this node's connections with peers that answer fast does not
// come before those that there is a reason to ask.
type class int

const (
	chosen   class = iota // by the user: signers, the nodes to begin with, those that were called by hand
	useful                // it has given something that was verified
	near                  // on the local network
	stranger              // anybody
)

// preferred returns what says the class of a peer.
func (s *Swarm) preferred() func(peer.ID) class {
	signers := map[peer.ID]bool{}
	for _, key := range s.o.Signers() {
		if id, err := idOf(key); err == nil {
			signers[id] = true
		}
	}
	return func(id peer.ID) class {
		called, gave := s.peers.reasons(id)
		if signers[id] || s.begin[id] || called {
			return chosen
		}
		if gave {
			return useful
		}
		for _, c := range s.host.Network().ConnsToPeer(id) {
			if isLocal(c.RemoteMultiaddr()) {
				return near
			}
		}
		return stranger
	}
}

// reasons says whether somebody has asked for a connection to a peer, and whether it was of use.
func (b *book) reasons(id peer.ID) (called, useful bool) {
	b.mu.Lock()
	m := b.members[id]
	b.mu.Unlock()
	if m == nil {
		return false, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.called, m.useful
}

// connected returns the connected peers that are not left alone; at most n: those with a reason to be asked in front, and
// of these the ones that answer first.
func (s *Swarm) connected(n int) []*member {
	type ranked struct {
		*member
		class class
		lag   time.Duration
	}
	var list []ranked
	preferred := s.preferred()
	for _, id := range s.host.Network().Peers() {
		m := s.peers.get(id)
		if !m.ready() || !s.admitted(id) {
			continue
		}
		lag := m.lag()
		if lag == 0 {
			lag = s.host.Peerstore().LatencyEWMA(id)
		}
		if lag == 0 {
			lag = 200 * time.Millisecond // unknown: between the near and the far
		}
		list = append(list, ranked{m, preferred(id), lag})
	}
	slices.SortStableFunc(list, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.lag, b.lag))
	})
	list = list[:min(n, len(list))]
	members := make([]*member, len(list))
	for i, r := range list {
		members[i] = r.member
	}
	return members
}

// Peers are the nodes that this one is connected to.
func (s *Swarm) Peers() []protocol.Peer {
	list := []protocol.Peer{}
	for _, id := range s.host.Network().Peers() {
		conns := s.host.Network().ConnsToPeer(id)
		key, err := keyOf(id)
		if err != nil || len(conns) == 0 || !s.admitted(id) {
			continue
		}
		m := s.peers.get(id)
		p := protocol.Peer{
			Key: key, Address: conns[0].RemoteMultiaddr().String(), Transport: "tcp",
			Inbound: conns[0].Stat().Direction == network.DirInbound,
			Latency: m.lag(), Received: m.received.Load(), Sent: m.sent.Load(),
		}
		if p.Latency == 0 {
			p.Latency = s.host.Peerstore().LatencyEWMA(id)
		}
		if hasProtocol(conns[0].RemoteMultiaddr(), ma.P_QUIC_V1) {
			p.Transport = "quic"
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b protocol.Peer) int { return slices.Compare(a.Key[:], b.Key[:]) })
	return list
}

func loopbackLast(a ma.Multiaddr) int {
	if manet.IsIPLoopback(a) {
		return 1
	}
	return 0
}
