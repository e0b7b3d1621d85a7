package peers

import (
	"context"
	"net"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/quic-go/quic-go"
)

// quicSockets are the UDP sockets of one host. libp2p closes those that it opens itself, and leaves ours open.
type quicSockets struct {
	limits network.ResourceManager
	opened *quicreuse.ConnManager // nil: not yet
}

// open is libp2p's constructor for its sockets. As with libp2p's own, a connection counts from its first packet, and callers have to prove
// their address when there are many of them.
func (q *quicSockets) open(reset quic.StatelessResetKey, token quic.TokenGeneratorKey) (*quicreuse.ConnManager, error) {
	var err error
	q.opened, err = quicreuse.NewConnManager(reset, token,
		quicreuse.OverrideListenUDP(listenUDP),
		quicreuse.ConnContext(q.count),
		quicreuse.VerifySourceAddress(func(a net.Addr) bool { return q.limits.VerifySourceAddress(a) }))
	return q.opened, err
}

// count counts an incoming connection. It is refused when there are too many.
func (q *quicSockets) count(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	address, err := quicreuse.ToQuicMultiaddr(info.RemoteAddr, quic.Version1)
	if err != nil {
		address = nil // no limits of its own
	}
	scope, err := q.limits.OpenConnection(network.DirInbound, false, address)
	if err != nil {
		return ctx, err
	}
	ctx = network.WithConnManagementScope(ctx, scope)
	context.AfterFunc(ctx, scope.Done)
	return ctx, nil
}

func (q *quicSockets) close() error {
	if q.opened == nil {
		return nil
	}
	return q.opened.Close()
}
