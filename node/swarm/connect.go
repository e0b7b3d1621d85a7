package swarm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	p2pswarm "github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/MordragT/nuka/protocol"
)

const (
	// dialTimeout is how long a peer may take to be connected.
	dialTimeout = 10 * time.Second
	// keepInterval is how often it is looked whether there are enough connections.
	keepInterval = 30 * time.Second
	// keepKnown is how often the peers that were of use are written down at most: another process may have to go on from there.
	keepKnown = time.Second
	// enoughPeers is from how many connections on the nodes to begin with are not called.
	enoughPeers = 4
	// headStart is how long peers that were of use, and signers, are called before the nodes to begin with are.
	headStart = time.Second
)

// prefer is how much a connection to a peer of each class is worth to the connection manager.
var prefer = [...]int{chosen: 2 * preferUseful, useful: preferUseful, near: preferUseful / 2, stranger: 0}

// Connect connects to a node: a ticket that names one, or a multiaddr that ends in a peer id.
func (s *Swarm) Connect(ctx context.Context, addr string) error {
	info, err := parseAddress(addr)
	if err != nil {
		return err
	}
	m := s.peers.get(info.ID)
	m.forgive()
	m.mu.Lock()
	m.called = true
	m.mu.Unlock()
	s.recall(info.ID) // somebody asks for it
	if err := s.connect(ctx, info); err != nil {
		return protocol.Errorf(protocol.Unavailable, "connect to %s: %v", info.ID, shortDial(err)).
			WithHint("is it running, and can its address be reached from here?")
	}
	return nil
}

// recall lets libp2p call a peer again that could not be reached a moment ago.
func (s *Swarm) recall(id peer.ID) {
	if n, ok := s.host.Network().(*p2pswarm.Swarm); ok {
		n.Backoff().Clear(id)
	}
}

// connect connects to a peer, unless it is.
func (s *Swarm) connect(ctx context.Context, info peer.AddrInfo) error {
	if info.ID == s.host.ID() {
		return fmt.Errorf("%s is this node", info.ID)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if len(info.Addrs) == 0 && !s.isConnected(info.ID) && len(s.host.Peerstore().Addrs(info.ID)) == 0 {
		found, err := s.findPeer(ctx, info.ID)
		if err != nil {
			return err
		}
		info = found
	}
	if err := s.host.Connect(ctx, info); err != nil {
		return err
	}
	return s.gate.wait(ctx, info.ID)
}

// forgive ends the time for which the peer is left alone.
func (m *member) forgive() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures, m.until = 0, time.Time{}
}

// parseAddress reads a ticket or a multiaddr.
func parseAddress(addr string) (peer.AddrInfo, error) {
	if protocol.IsTicket(addr) {
		t, err := protocol.ParseTicket(addr)
		if err != nil {
			return peer.AddrInfo{}, protocol.Errorf(protocol.Invalid, "%v", err)
		}
		return ticketAddress(t)
	}
	a, err := ma.NewMultiaddr(addr)
	if err == nil {
		var info *peer.AddrInfo
		if info, err = peer.AddrInfoFromP2pAddr(a); err == nil {
			_, err = keyOf(info.ID)
		}
		if err == nil {
			return *info, nil
		}
	}
	return peer.AddrInfo{}, protocol.Errorf(protocol.Invalid, "address %.200q: %v", addr, err).
		WithHint("an address is a ticket, or looks like /ip4/192.0.2.1/tcp/4717/p2p/12D3…")
}

// ticketAddress returns where the node of a ticket is.
func ticketAddress(t *protocol.Ticket) (peer.AddrInfo, error) {
	if t.Node.IsZero() {
		return peer.AddrInfo{}, protocol.Errorf(protocol.Invalid, "the ticket names no node")
	}
	id, err := idOf(t.Node)
	if err != nil {
		return peer.AddrInfo{}, protocol.Errorf(protocol.Invalid, "the ticket's node: %v", err)
	}
	info := peer.AddrInfo{ID: id}
	for _, text := range t.Addresses {
		a, err := ma.NewMultiaddr(text)
		if err != nil {
			return peer.AddrInfo{}, protocol.Errorf(protocol.Invalid, "the ticket's address %.100q: %v", text, err)
		}
		info.Addrs = append(info.Addrs, a)
	}
	return info, nil
}

// shortDial takes the tries of single addresses, a line each, together.
func shortDial(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

// keepConnected connects to the nodes to begin with while there are few others, and to signers, until ctx ends.
func (s *Swarm) keepConnected(ctx context.Context) {
	tick := time.NewTicker(keepInterval)
	defer tick.Stop()
	var keep <-chan time.Time
	for s.connectSome(ctx); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.connectSome(ctx)
		case <-s.peers.useful:
			if keep == nil {
				keep = time.After(keepKnown)
			}
		case <-keep:
			keep = nil
			if err := s.writeKnown(); err != nil {
				s.log.Warn("keep the peers that were of use", "error", err)
			}
		}
	}
}

// connectSome calls whom it is good to be connected to, and returns when all have answered or not.
func (s *Swarm) connectSome(ctx context.Context) {
	connections := s.host.ConnManager()
	preferred, ofUse := s.preferred(), 0
	for _, id := range s.host.Network().Peers() {
		connections.TagPeer(id, "class", prefer[preferred(id)])
		if _, gave := s.peers.reasons(id); gave {
			ofUse++
		}
	}
	var wanted []peer.AddrInfo
	for _, key := range s.o.Signers() {
		id, err := idOf(key)
		if err != nil || len(s.host.Peerstore().Addrs(id)) == 0 {
			continue
		}
		connections.Protect(id, "signer")
		wanted = append(wanted, peer.AddrInfo{ID: id})
	}
	if ofUse < enoughPeers { // however many strangers are connected
		wanted = append(wanted, s.known...)
	}
	first := s.call(ctx, wanted)
	defer func() { <-first }()
	if len(s.host.Network().Peers()) >= enoughPeers {
		return
	}
	select {
	case <-first:
	case <-time.After(headStart):
	}
	if len(s.host.Network().Peers()) < enoughPeers {
		<-s.call(ctx, s.configured())
	}
}

// call connects to peers that are not connected and not left alone. What it returns is closed when all have answered or not.
func (s *Swarm) call(ctx context.Context, wanted []peer.AddrInfo) <-chan struct{} {
	var calls sync.WaitGroup
	for _, info := range wanted {
		m := s.peers.get(info.ID)
		if info.ID == s.host.ID() || !m.ready() || s.isConnected(info.ID) {
			continue
		}
		calls.Go(func() {
			if err := s.connect(ctx, info); err != nil && ctx.Err() == nil {
				m.failed()
				s.log.Debug("connect", "peer", info.ID, "error", shortDial(err))
			}
		})
	}
	all := make(chan struct{})
	go func() { calls.Wait(); close(all) }()
	return all
}

// beginWith returns the nodes to begin with: those that were of use before, and those that are configured.
func (s *Swarm) beginWith() []peer.AddrInfo {
	return append(slices.Clone(s.known), s.configured()...)
}

// configured returns the nodes to begin with that are configured.
func (s *Swarm) configured() []peer.AddrInfo {
	var list []peer.AddrInfo
	for _, text := range s.o.Bootstrap {
		info, err := parseAddress(text)
		if err != nil {
			s.log.Warn("a node to begin with", "error", err)
			continue
		}
		s.host.Peerstore().AddAddrs(info.ID, info.Addrs, peerstore.PermanentAddrTTL)
		list = append(list, info)
	}
	return list
}

func (s *Swarm) isConnected(id peer.ID) bool {
	return len(s.host.Network().ConnsToPeer(id)) > 0
}
