package swarm

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// MaxCredential bounds the bytes of a credential.
const MaxCredential = 16 << 10

// A gater refuses connections: of peers whose key is not ed25519, and of those that were shut out.
type gater struct {
	mu  sync.Mutex
	out map[peer.ID]bool
}

func (g *gater) refuses(id peer.ID) bool {
	g.mu.Lock()
	out := g.out[id]
	g.mu.Unlock()
	if out {
		return true
	}
	_, err := keyOf(id)
	return err != nil
}

func (g *gater) InterceptPeerDial(id peer.ID) bool                               { return !g.refuses(id) }
func (g *gater) InterceptAddrDial(peer.ID, ma.Multiaddr) bool                    { return true }
func (g *gater) InterceptAccept(network.ConnMultiaddrs) bool                     { return true }
func (g *gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
func (g *gater) InterceptSecured(_ network.Direction, id peer.ID, _ network.ConnMultiaddrs) bool {
	return !g.refuses(id)
}
