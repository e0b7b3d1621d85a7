package peers

import (
	"context"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	p2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
)

// preferDHT and preferUseful are how much a connection is worth to the connection manager: one that the DHT wants, and one to a peer that
// was useful.
const preferDHT, preferUseful = 5, 50

// A guarded host keeps every protocol from a peer that is not admitted.
type guarded struct {
	host.Host
	ctx  context.Context // ends with Run
	gate *gate
}

// ConnManager returns a connection manager that protects no connection: the DHT would protect the peers nearest to this node, which
// strangers can arrange to be, until there is no room for others. A connection that it wants protected is preferred instead.
func (h *guarded) ConnManager() connmgr.ConnManager { return modest{h.Host.ConnManager()} }

type modest struct{ connmgr.ConnManager }

func (m modest) Protect(id peer.ID, tag string) { m.TagPeer(id, tag, preferDHT) }

func (m modest) Unprotect(id peer.ID, tag string) bool {
	m.UntagPeer(id, tag)
	return false
}

func (h *guarded) guard(handler network.StreamHandler) network.StreamHandler {
	return func(st network.Stream) {
		if err := h.gate.wait(h.ctx, st.Conn().RemotePeer()); err != nil {
			abort(st)
			return
		}
		handler(st)
	}
}

func (h *guarded) SetStreamHandler(id p2pprotocol.ID, handler network.StreamHandler) {
	h.Host.SetStreamHandler(id, h.guard(handler))
}

func (h *guarded) SetStreamHandlerMatch(id p2pprotocol.ID, match func(p2pprotocol.ID) bool, handler network.StreamHandler) {
	h.Host.SetStreamHandlerMatch(id, match, h.guard(handler))
}

func (h *guarded) NewStream(ctx context.Context, id peer.ID, protocols ...p2pprotocol.ID) (network.Stream, error) {
	if h.gate.admit != nil {
		if err := h.Host.Connect(ctx, peer.AddrInfo{ID: id}); err != nil {
			return nil, err
		}
		if err := h.gate.wait(ctx, id); err != nil {
			return nil, err
		}
	}
	return h.Host.NewStream(ctx, id, protocols...)
}
