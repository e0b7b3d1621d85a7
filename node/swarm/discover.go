package swarm

import (
	"context"
	"errors"
	"iter"

	"github.com/libp2p/go-libp2p/core/peer"
)

// findPeer looks for where a peer is.
func (s *Swarm) findPeer(context.Context, peer.ID) (peer.AddrInfo, error) {
	return peer.AddrInfo{}, errors.New("not found")
}

// findProviders yields peers that announce a key, at most n, as they are found.
func (s *Swarm) findProviders(context.Context, [32]byte, int) iter.Seq[peer.AddrInfo] {
	return func(func(peer.AddrInfo) bool) {}
}
