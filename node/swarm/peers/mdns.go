package peers

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

const (
	// mdnsAtOnce is how many nodes of the local network are dialled at a time.
	mdnsAtOnce = 8
	// mdnsTries is how often a node that does not answer is dialled, and mdnsAgain about how long after the first time, then twice as long.
	mdnsTries, mdnsAgain = 7, 250 * time.Millisecond
	// mdnsCalls bounds the nodes of the local network that are dialled or wait for it: anybody there can name any number of them.
	mdnsCalls = 64
)

// A finder collects the nodes that multicast DNS names. That proves nothing: the connection does.
type finder struct{ found chan peer.AddrInfo }

func (f finder) HandlePeerFound(info peer.AddrInfo) {
	select {
	case f.found <- info:
	default: // it is named again
	}
}

// mdnsName is the service's name: another one for each prefix, so that members of a mesh find only each other.
func mdnsName(prefix string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(prefix))
	name = strings.Trim(name, "-")
	return "_" + name[:min(len(name), 62)] + "._udp"
}

// findLocal finds nodes on the local network and connects to them, until ctx ends.
func (h *Host) findLocal(ctx context.Context) {
	f := finder{found: make(chan peer.AddrInfo, 64)}
	service := mdns.NewMdnsService(h.host, mdnsName(h.o.Prefix), f)
	if err := service.Start(); err != nil {
		h.log.Warn("look for nodes on the local network", "error", err)
		return
	}
	defer service.Close() //nolint:errcheck // it only stops
	h.callFound(ctx, f.found)
}

// callFound dials the nodes that are found, until ctx ends, and returns when all calls have ended.
func (h *Host) callFound(ctx context.Context, found <-chan peer.AddrInfo) {
	slots, all := make(chan struct{}, mdnsAtOnce), make(chan struct{}, mdnsCalls)
	var calls sync.WaitGroup
	defer calls.Wait()
	for {
		var info peer.AddrInfo
		select {
		case <-ctx.Done():
			return
		case info = <-found:
		}
		if p := h.record(info.ID); p == nil || info.ID == h.host.ID() || h.isConnected(info.ID) || !p.Ready() {
			continue
		}
		select {
		case all <- struct{}{}:
		default:
			continue // it is named again
		}
		slots <- struct{}{}
		calls.Go(func() {
			defer func() { <-all }()
			h.callLocal(ctx, info, slots)
		})
	}
}

// callLocal connects to a node of the local network, whose slot it holds. Two nodes that find each other at the same moment dial from the
// ports that they listen on: that can become one connection with two callers (RFC 9293, 3.5, simultaneous open), and TLS fails on both
// sides. mDNS does not name a node again for long, so both try again, after a random time.
func (h *Host) callLocal(ctx context.Context, info peer.AddrInfo, slots chan struct{}) {
	for try := 0; ; try++ {
		begin := time.Now()
		err := h.dial(ctx, info)
		<-slots
		if err == nil {
			h.log.Debug("connected to a node of the local network", "peer", info.ID, "took", time.Since(begin))
			return
		}
		h.record(info.ID).Failed()
		h.log.Debug("connect to a node of the local network", "peer", info.ID, "error", oneLine{err})
		if try == mdnsTries-1 {
			return
		}
		wait := mdnsAgain << try
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait/2 + rand.N(wait)):
		}
		if h.isConnected(info.ID) { // it has dialled this node
			return
		}
		slots <- struct{}{}
		h.retry(info.ID)
	}
}
