package peers

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

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/protocol"
)

const (
	// dialTimeout is how long connecting to a peer may take.
	dialTimeout = 10 * time.Second
	// keepInterval is how often the host checks whether it has enough connections.
	keepInterval = 30 * time.Second
	// saveDelay is how long after a peer was useful for the first time the saved peers are written: another process may have to go on
	// from there.
	saveDelay = time.Second
	// enoughPeers is the number of connections from which on bootstrap peers are not called.
	enoughPeers = 4
	// headStart is how much earlier saved peers and signers are called than bootstrap peers.
	headStart = time.Second
)

// weights is how much a connection to a peer of each class is worth to the connection manager.
var weights = [...]int{chosen: 2 * preferUseful, useful: preferUseful, near: preferUseful / 2, stranger: 0}

// Connect connects to a node at the user's request. The address is a ticket that names a node, or a multiaddr that ends in a peer id.
func (h *Host) Connect(ctx context.Context, addr string) error {
	info, err := parseAddress(addr)
	if err != nil {
		return err
	}
	key, err := keyOf(info.ID)
	if err != nil {
		return err
	}
	h.book.Peer(key).Called()
	h.retry(info.ID)
	if err := h.dial(ctx, info); err != nil {
		return protocol.Errorf(protocol.Unavailable, "connect to %s: %w", info.ID, oneLine{err}).
			WithHint("is it running, and can its address be reached from here?")
	}
	return nil
}

// retry lets libp2p dial a peer again right after a failure.
func (h *Host) retry(id peer.ID) {
	if n, ok := h.host.Network().(*p2pswarm.Swarm); ok {
		n.Backoff().Clear(id)
	}
}

// Dial implements routing.Router.
func (h *Host) Dial(ctx context.Context, p routing.Provider) error {
	id, err := idOf(p.Key)
	if err != nil {
		return err
	}
	info := peer.AddrInfo{ID: id}
	for _, text := range p.Addresses {
		if a, err := ma.NewMultiaddr(text); err == nil {
			info.Addrs = append(info.Addrs, a)
		}
	}
	if err := h.dial(ctx, info); err != nil {
		return oneLine{err}
	}
	return nil
}

// dial connects to a peer unless it is connected, and waits until it is admitted.
func (h *Host) dial(ctx context.Context, info peer.AddrInfo) error {
	if info.ID == h.host.ID() {
		return fmt.Errorf("%s is this node", info.ID)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if len(info.Addrs) == 0 && !h.isConnected(info.ID) && len(h.host.Peerstore().Addrs(info.ID)) == 0 {
		found, err := h.findPeer(ctx, info.ID)
		if err != nil {
			return err
		}
		info = found
	}
	if err := h.host.Connect(ctx, info); err != nil {
		return err
	}
	return h.gate.wait(ctx, info.ID)
}

// parseAddress reads a ticket or a multiaddr.
func parseAddress(addr string) (peer.AddrInfo, error) {
	if protocol.IsTicket(addr) {
		t, err := protocol.ParseTicket(addr)
		if err != nil {
			return peer.AddrInfo{}, protocol.Errorf(protocol.Invalid, "%w", err)
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
	return peer.AddrInfo{}, protocol.Errorf(protocol.Invalid, "address %.200q: %w", addr, err).
		WithHint("an address is a ticket, or looks like /ip4/192.0.2.1/tcp/4717/p2p/12D3…")
}

// ticketAddress returns the peer id and the addresses of a ticket's node.
func ticketAddress(t *protocol.Ticket) (peer.AddrInfo, error) {
	if t.Node.IsZero() {
		return peer.AddrInfo{}, protocol.Errorf(protocol.Invalid, "the ticket names no node")
	}
	id, err := idOf(t.Node)
	if err != nil {
		return peer.AddrInfo{}, protocol.Errorf(protocol.Invalid, "the ticket's node: %w", err)
	}
	info := peer.AddrInfo{ID: id}
	for _, text := range t.Addresses {
		a, err := ma.NewMultiaddr(text)
		if err != nil {
			return peer.AddrInfo{}, protocol.Errorf(protocol.Invalid, "the ticket's address %.100q: %w", text, err)
		}
		info.Addrs = append(info.Addrs, a)
	}
	return info, nil
}

// A oneLine is an error without line breaks in its text: that of a dial has a line for each address.
type oneLine struct{ error }

func (o oneLine) Error() string { return strings.Join(strings.Fields(o.error.Error()), " ") }

func (o oneLine) Unwrap() error { return o.error }

// keepConnected connects to bootstrap peers while there are few others, and to signers, until ctx ends.
func (h *Host) keepConnected(ctx context.Context) {
	tick := time.NewTicker(keepInterval)
	defer tick.Stop()
	var save <-chan time.Time
	for h.connectSome(ctx); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.connectSome(ctx)
		case <-h.book.NewlyUseful:
			if save == nil {
				save = time.After(saveDelay)
			}
		case <-save:
			save = nil
			if err := h.writeSaved(); err != nil {
				h.log.Warn("save the peers that were useful", "error", err)
			}
		}
	}
}

// connectSome calls the peers that this node should be connected to, and returns when all calls have ended.
func (h *Host) connectSome(ctx context.Context) {
	connections := h.host.ConnManager()
	classOf, usefulOnes := h.classes(), 0
	for _, id := range h.host.Network().Peers() {
		key, err := keyOf(id)
		if err != nil {
			continue
		}
		connections.TagPeer(id, "class", weights[classOf(key, id)])
		if _, gave := h.book.Reasons(key); gave {
			usefulOnes++
		}
	}
	var wanted []peer.AddrInfo
	for _, key := range h.o.Signers() {
		id, err := idOf(key)
		if err != nil || len(h.host.Peerstore().Addrs(id)) == 0 {
			continue
		}
		connections.Protect(id, "signer")
		wanted = append(wanted, peer.AddrInfo{ID: id})
	}
	if usefulOnes < enoughPeers { // however many strangers are connected
		wanted = append(wanted, h.saved...)
	}
	first := h.call(ctx, wanted)
	defer func() { <-first }()
	if h.Count() >= enoughPeers {
		return
	}
	select {
	case <-first:
	case <-time.After(headStart):
	}
	if h.Count() < enoughPeers {
		<-h.call(ctx, h.bootstrapPeers())
	}
}

// call connects to those of the wanted peers that are neither connected nor left alone. It returns a channel that is closed when all
// calls have ended.
func (h *Host) call(ctx context.Context, wanted []peer.AddrInfo) <-chan struct{} {
	var calls sync.WaitGroup
	for _, info := range wanted {
		p := h.record(info.ID)
		if p == nil || info.ID == h.host.ID() || !p.Ready() || h.isConnected(info.ID) {
			continue
		}
		calls.Go(func() {
			if err := h.dial(ctx, info); err != nil && ctx.Err() == nil {
				p.Failed()
				h.log.Debug("connect", "peer", info.ID, "error", oneLine{err})
			}
		})
	}
	all := make(chan struct{})
	go func() { calls.Wait(); close(all) }()
	return all
}

// record returns the record of a peer by its id, nil for one whose key is not ed25519: no such peer is ever connected.
func (h *Host) record(id peer.ID) *routing.Peer {
	key, err := keyOf(id)
	if err != nil {
		return nil
	}
	return h.book.Peer(key)
}

// startPeers returns the peers from which the DHT starts: the saved ones and the bootstrap peers.
func (h *Host) startPeers() []peer.AddrInfo {
	return append(slices.Clone(h.saved), h.bootstrapPeers()...)
}

// bootstrapPeers returns the peers of Options.Bootstrap.
func (h *Host) bootstrapPeers() []peer.AddrInfo {
	var list []peer.AddrInfo
	for _, text := range h.o.Bootstrap {
		info, err := parseAddress(text)
		if err != nil {
			h.log.Warn("a bootstrap peer", "error", err)
			continue
		}
		h.host.Peerstore().AddAddrs(info.ID, info.Addrs, peerstore.PermanentAddrTTL)
		list = append(list, info)
	}
	return list
}

func (h *Host) isConnected(id peer.ID) bool {
	return len(h.host.Network().ConnsToPeer(id)) > 0
}

// IsConnected implements routing.Router.
func (h *Host) IsConnected(p *routing.Peer) bool {
	id, err := idOf(p.Key)
	return err == nil && h.isConnected(id) && h.admitted(id)
}
