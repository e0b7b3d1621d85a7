package peers

import (
	"cmp"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/protocol"
)

const (
	// unknownLatency is what a peer's latency is taken for as long as it is unknown: between those of near and of distant peers.
	unknownLatency = 200 * time.Millisecond
	// maxTicketAddresses is how many addresses a ticket of the node holds, so that it can be copied by hand.
	maxTicketAddresses = 8
)

// A class of peers decides how early they are asked: many strangers that answer fast do not come before peers that this node has a
// reason to ask.
type class int

const (
	chosen   class = iota // by the user: signers, bootstrap peers, and peers that the user connected to
	useful                // it has sent something that was verified
	near                  // on the local network
	stranger              // anybody
)

// classes returns a function that classifies peers, by the signers of now.
func (h *Host) classes() func(protocol.Key, peer.ID) class {
	signers := map[protocol.Key]bool{}
	for _, key := range h.o.Signers() {
		signers[key] = true
	}
	return func(key protocol.Key, id peer.ID) class {
		called, gave := h.book.Reasons(key)
		if signers[key] || h.bootstrap[key] || called {
			return chosen
		}
		if gave {
			return useful
		}
		for _, c := range h.host.Network().ConnsToPeer(id) {
			if isLocal(c.RemoteMultiaddr()) {
				return near
			}
		}
		return stranger
	}
}

// Connected implements routing.Router: the better class first, and within a class the peer that answers sooner.
func (h *Host) Connected(n int) []*routing.Peer {
	type ranked struct {
		*routing.Peer
		class   class
		latency time.Duration
	}
	var list []ranked
	classOf := h.classes()
	for _, id := range h.host.Network().Peers() {
		key, err := keyOf(id)
		if err != nil || !h.admitted(id) {
			continue
		}
		p := h.book.Peer(key)
		if !p.Ready() {
			continue
		}
		latency := cmp.Or(p.Latency(), h.host.Peerstore().LatencyEWMA(id), unknownLatency)
		list = append(list, ranked{p, classOf(key, id), latency})
	}
	slices.SortStableFunc(list, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.latency, b.latency))
	})
	list = list[:min(n, len(list))]
	found := make([]*routing.Peer, len(list))
	for i, r := range list {
		found[i] = r.Peer
	}
	return found
}

// Peers describes the nodes that this one is connected to.
func (h *Host) Peers() []protocol.Peer {
	list := []protocol.Peer{}
	for _, id := range h.host.Network().Peers() {
		conns := h.host.Network().ConnsToPeer(id)
		key, err := keyOf(id)
		if err != nil || len(conns) == 0 || !h.admitted(id) {
			continue
		}
		m := h.book.Peer(key)
		p := protocol.Peer{
			Key: key, Address: conns[0].RemoteMultiaddr().String(), Transport: "tcp",
			Inbound: conns[0].Stat().Direction == network.DirInbound,
			Latency: cmp.Or(m.Latency(), h.host.Peerstore().LatencyEWMA(id)),
		}
		p.Received, p.Sent = m.Traffic()
		if hasProtocol(conns[0].RemoteMultiaddr(), ma.P_QUIC_V1) {
			p.Transport = "quic"
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b protocol.Peer) int { return slices.Compare(a.Key[:], b.Key[:]) })
	return list
}

// Count is the number of connected peers.
func (h *Host) Count() int { return len(h.host.Network().Peers()) }

// ID is the peer id of the node in text.
func (h *Host) ID() string { return h.host.ID().String() }

// Key is the public key of the node.
func (h *Host) Key() protocol.Key { return h.key }

// Addresses returns the multiaddrs under which the node can be reached, without its peer id, loopback addresses last.
// A ticket holds them.
func (h *Host) Addresses() []string {
	addrs := slices.Clone(h.host.Addrs())
	slices.SortStableFunc(addrs, func(a, b ma.Multiaddr) int { return loopbackLast(a) - loopbackLast(b) })
	list := make([]string, 0, len(addrs))
	for _, a := range addrs {
		list = append(list, a.String())
	}
	return list
}

func loopbackLast(a ma.Multiaddr) int {
	if manet.IsIPLoopback(a) {
		return 1
	}
	return 0
}

// Listening returns the multiaddrs that another Host needs as Options.Listen to listen where this one does.
func (h *Host) Listening() []string {
	var list []string
	for _, a := range h.host.Network().ListenAddresses() {
		list = append(list, a.String())
	}
	return list
}

// Status describes the node's part in the swarm.
func (h *Host) Status() protocol.SwarmStatus {
	st := protocol.SwarmStatus{Addresses: h.Addresses(), Bootstrap: slices.Clone(h.o.Bootstrap), Peers: h.Count()}
	if d := h.discovery.Load(); d != nil {
		st.Running, st.Table, st.Provided = true, d.dht.RoutingTable().Size(), int(d.provided.Load())
	}
	t := protocol.Ticket{Node: h.key, Addresses: st.Addresses}
	t.Addresses = t.Addresses[:min(len(t.Addresses), maxTicketAddresses)]
	st.Ticket = t.String()
	return st
}
