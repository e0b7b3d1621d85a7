package swarm

import (
	"context"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

// mdnsAtOnce is how many nodes of the local network are called at a time.
const mdnsAtOnce = 8

// A finder is told which nodes are on the local network. mDNS proves nothing: the connection does.
type finder struct{ found chan peer.AddrInfo }

func (f finder) HandlePeerFound(info peer.AddrInfo) {
	select {
	case f.found <- info:
	default: // they are told again
	}
}

// mdnsName is the service's name: another one for each prefix, so that members of a mesh find each other only.
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
func (s *Swarm) findLocal(ctx context.Context) {
	f := finder{found: make(chan peer.AddrInfo, 64)}
	service := mdns.NewMdnsService(s.host, mdnsName(s.o.Prefix), f)
	if err := service.Start(); err != nil {
		s.log.Warn("look for nodes on the local network", "error", err)
		return
	}
	defer service.Close() //nolint:errcheck // it only stops
	slots := make(chan struct{}, mdnsAtOnce)
	for {
		var info peer.AddrInfo
		select {
		case <-ctx.Done():
			for range mdnsAtOnce { // until the calls have ended
				slots <- struct{}{}
			}
			return
		case info = <-f.found:
		}
		m := s.peers.get(info.ID)
		if info.ID == s.host.ID() || s.isConnected(info.ID) || !m.ready() {
			continue
		}
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			begin := time.Now()
			if err := s.connect(ctx, info); err != nil {
				m.failed()
				s.log.Debug("a node of the local network", "peer", info.ID, "error", shortDial(err))
				return
			}
			s.log.Debug("a node of the local network", "peer", info.ID, "took", time.Since(begin))
		}()
	}
}
