package peers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	p2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	p2pswarm "github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	p2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quictransport "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	multihash "github.com/multiformats/go-multihash/core"
	"github.com/zeebo/blake3"

	"github.com/MordragT/nuka/protocol"
)

const (
	defaultConnections = 200
	// peerStreams is how many streams of one of our protocols a peer may have open to us at once.
	peerStreams = 16
	// hostMemory bounds the bytes of all peers that arrived and were not read; one peer may have half of it (muxer.go).
	hostMemory = 128 << 20
	// quicAfterTCP is how long a dial by QUIC waits for the one by TCP on a local network, where TCP takes a third of the processor time.
	quicAfterTCP = 100 * time.Millisecond
	// maxDialled is the largest number of addresses of a peer that are dialled: a provider record may name any number, of any machines.
	maxDialled = 32
)

// registerHash makes go-multihash use the BLAKE3 that is six times as fast on small blocks.
// The registry is the process's, so this happens once for all hosts, before anything is hashed.
var registerHash = sync.OnceFunc(func() {
	multihash.RegisterVariableSize(multihash.BLAKE3, func(size int) (hash.Hash, bool) {
		return blake3.New(), size == -1 || size == 32
	})
})

// newHost makes the libp2p host, which listens at once. The caller ends it by end, not by its Close.
func newHost(o *Options, key *identity, gate *gate) (h host.Host, end func() error, err error) {
	limits, err := resources(o)
	if err != nil {
		return nil, nil, err
	}
	connections, err := connmgr.NewConnManager(o.Connections*3/4, o.Connections, connmgr.WithGracePeriod(5*time.Second), connmgr.WithSilencePeriod(3*time.Second))
	if err != nil {
		return nil, nil, err
	}
	relays := &relays{}
	options := []libp2p.Option{
		libp2p.Identity(key),
		libp2p.UserAgent("nuka"),
		libp2p.NoTransports,
		libp2p.Transport(quictransport.NewTransport),
		libp2p.Security(p2ptls.ID, newSecure),
		libp2p.Muxer(yamux.ID, newMuxer()),
		libp2p.ResourceManager(limits),
		libp2p.ConnectionManager(connections),
		libp2p.ConnectionGater(gate),
		libp2p.DisableMetrics(),
		libp2p.SwarmOpts(p2pswarm.WithDialRanker(rank)),
	}
	if o.Admit == nil {
		// For clients of IPFS without TLS. A peer that has both takes TLS, which is proposed first and costs less. All members of a mesh have
		// TLS.
		options = append(options, libp2p.Security(noise.ID, noise.New))
	}
	if len(o.Listen) == 0 {
		options = append(options, libp2p.NoListenAddrs)
	} else {
		options = append(options, libp2p.ListenAddrStrings(o.Listen...))
	}
	switch {
	case o.Network != nil:
		options = append(options, o.Network...)
	case o.Relay:
		options = append(options, libp2p.EnableRelay(), libp2p.EnableRelayService(), libp2p.EnableHolePunching(),
			libp2p.EnableAutoRelayWithPeerSource(relays.some), libp2p.EnableNATService(), libp2p.EnableAutoNATv2())
	default:
		options = append(options, libp2p.DisableRelay(), libp2p.EnableAutoNATv2())
	}
	quic := &quicSockets{limits: limits}
	if o.Network == nil {
		options = append(options, libp2p.Transport(tcp.NewTCPTransport), libp2p.QUICReuse(quic.open))
		if slices.ContainsFunc(o.Listen, func(a string) bool { return !isLoopback(a) }) {
			options = append(options, libp2p.NATPortMap()) // asks the local network for a router
		}
	}
	h, err = libp2p.New(options...)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open the swarm: %w", err), quic.close(), limits.Close(), connections.Close())
	}
	relays.host.Store(&h)
	return h, func() error { return errors.Join(h.Close(), quic.close()) }, nil
}

// isLoopback reports whether an address to listen at is reached by this machine only.
func isLoopback(address string) bool {
	a, err := ma.NewMultiaddr(address)
	return err == nil && manet.IsIPLoopback(a)
}

// relays are the peers through which others reach a node that cannot be called: any connected peer that relays.
type relays struct{ host atomic.Pointer[host.Host] }

// some returns up to n peers to be tried as relays.
func (r *relays) some(_ context.Context, n int) <-chan peer.AddrInfo {
	found := make(chan peer.AddrInfo, n)
	defer close(found)
	h := r.host.Load()
	if h == nil {
		return found
	}
	for _, id := range (*h).Network().Peers() {
		if len(found) < n {
			found <- peer.AddrInfo{ID: id, Addrs: (*h).Peerstore().Addrs(id)}
		}
	}
	return found
}

// resources bounds the connections, streams and memory of all peers together and of each of them.
func resources(o *Options) (network.ResourceManager, error) {
	// The connection manager trims to fewer. Incoming connections leave room for outgoing ones.
	in := rcmgr.LimitVal(o.Connections + 8)
	most := in + rcmgr.LimitVal(o.Connections/2+32)
	streams := most * peerStreams
	partial := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{
			Conns: most, ConnsInbound: in, ConnsOutbound: most, FD: most,
			Streams: streams, StreamsInbound: streams, StreamsOutbound: streams, Memory: hostMemory,
		},
		Transient: rcmgr.ResourceLimits{
			Conns: most, ConnsInbound: in / 2, ConnsOutbound: most, FD: most / 2,
			Streams: most, StreamsInbound: most, StreamsOutbound: most, Memory: hostMemory / 4,
		},
		PeerDefault: rcmgr.ResourceLimits{
			Conns: 8, ConnsInbound: 8, ConnsOutbound: 8, FD: 8,
			Streams: 16 * peerStreams, StreamsInbound: 8 * peerStreams, StreamsOutbound: 16 * peerStreams, Memory: hostMemory / 2,
		},
		ProtocolPeer: map[p2pprotocol.ID]rcmgr.ResourceLimits{},
	}
	for _, id := range []string{protocol.AttProtocol, protocol.WantProtocol, protocol.HintProtocol, protocol.PIRProtocol} {
		partial.ProtocolPeer[p2pprotocol.ID(o.Prefix+id)] = rcmgr.ResourceLimits{
			Streams: 8 * peerStreams, StreamsInbound: peerStreams, StreamsOutbound: 8 * peerStreams, Memory: hostMemory / 8,
		}
	}
	// Bitswap opens a stream for each message, and loses the message when there are too many.
	for _, id := range []p2pprotocol.ID{bsnet.ProtocolBitswap, bsnet.ProtocolBitswapOneOne, bsnet.ProtocolBitswapOneZero, bsnet.ProtocolBitswapNoVers} {
		for _, prefix := range []string{"", o.Prefix} {
			partial.ProtocolPeer[p2pprotocol.ID(prefix)+id] = rcmgr.ResourceLimits{
				Streams: 16 * peerStreams, StreamsInbound: 8 * peerStreams, StreamsOutbound: 16 * peerStreams, Memory: hostMemory / 8,
			}
		}
	}
	scaling := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&scaling)
	limiter := rcmgr.NewFixedLimiter(partial.Build(scaling.AutoScale()))
	return rcmgr.NewResourceManager(limiter, rcmgr.WithMetricsDisabled())
}

// rank orders the addresses of a peer for dialling: on a local network TCP first.
func rank(addrs []ma.Multiaddr) []network.AddrDelay {
	local := func(a ma.Multiaddr) bool { return isLocal(a) }
	var ranked []network.AddrDelay
	var rest []ma.Multiaddr
	tcpThere := slices.ContainsFunc(addrs, func(a ma.Multiaddr) bool { return local(a) && hasProtocol(a, ma.P_TCP) })
	for _, a := range addrs {
		switch {
		case !local(a):
			rest = append(rest, a)
		case tcpThere && !hasProtocol(a, ma.P_TCP):
			ranked = append(ranked, network.AddrDelay{Addr: a, Delay: quicAfterTCP})
		default:
			ranked = append(ranked, network.AddrDelay{Addr: a})
		}
	}
	after := time.Duration(0)
	if len(ranked) > 0 {
		after = 2 * quicAfterTCP
	}
	for _, d := range p2pswarm.DefaultDialRanker(rest) {
		d.Delay += after
		ranked = append(ranked, d)
	}
	slices.SortStableFunc(ranked, func(a, b network.AddrDelay) int { return cmp.Compare(a.Delay, b.Delay) })
	return ranked[:min(len(ranked), maxDialled)]
}

func hasProtocol(a ma.Multiaddr, code int) bool {
	_, err := a.ValueForProtocol(code)
	return err == nil
}

// isLocal reports whether an address is private or of this machine, and reached without a relay.
func isLocal(a ma.Multiaddr) bool {
	return a != nil && !hasProtocol(a, ma.P_CIRCUIT) && (manet.IsPrivateAddr(a) || manet.IsIPLoopback(a) || manet.IsIP6LinkLocal(a))
}
