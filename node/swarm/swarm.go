package swarm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"golang.org/x/time/rate"

	"github.com/MordragT/nuka/node/swarm/claims"
	"github.com/MordragT/nuka/node/swarm/fetch"
	"github.com/MordragT/nuka/node/swarm/peers"
	"github.com/MordragT/nuka/node/swarm/serve"
	"github.com/MordragT/nuka/node/swarm/wire"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A Swarm is a membership in a network. All methods may be called from many goroutines, also before Run and after it has returned: then
// there are no peers.
type Swarm struct {
	host    *peers.Host
	fetcher *fetch.Fetcher
	asker   *claims.Asker
}

// New opens the sockets of a swarm. Run closes them, so it must be called.
func New(options *Options) (*Swarm, error) {
	o := *options
	if o.Key == nil || o.System == nil {
		return nil, errors.New("open the swarm: it needs a key and a system")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Signers == nil {
		o.Signers = func() []protocol.Key { return nil }
	}
	codec, err := wire.NewCodec()
	if err != nil {
		return nil, err
	}
	s := &Swarm{}
	up, down := limiter(o.Up), limiter(o.Down)
	server := serve.New(&serve.Options{Source: o.System, Codec: codec, Up: up, Log: o.Log,
		Jobs: func(root cid.CID) *fetch.Job { return s.fetcher.Job(root) }})
	o.Shared, o.Block, o.Upload = o.System.Shared, server.Block, up
	if s.host, err = peers.New(&o.Options); err != nil {
		return nil, err
	}
	s.fetcher = fetch.New(&fetch.Options{Network: s.host, Store: o.System, Codec: codec, Down: down, Log: o.Log})
	s.asker = claims.New(&claims.Options{Router: s.host, Heads: o.System, Codec: codec, Self: s.host.Key(), Signers: o.Signers, Log: o.Log})
	s.host.Handle(protocol.AttProtocol, server.Statements)
	s.host.Handle(protocol.PIRProtocol, server.PIRs)
	s.host.Handle(protocol.PublishedProtocol, server.Published)
	s.host.Handle(protocol.WantProtocol, server.Blocks)
	s.host.Handle(protocol.HintProtocol, s.asker.ServeHint)
	if err := s.measure(o.Metrics); err != nil {
		return nil, errors.Join(fmt.Errorf("figures of the swarm: %w", err), s.host.Close())
	}
	return s, nil
}

// limiter returns a bound of bytes in a second, nil for none. A whole block fits into its burst.
func limiter(perSecond int64) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), int(max(perSecond/8, protocol.MaxBlock+1)))
}

// Run is the swarm's life: it answers peers, and keeps connections and announcements, until ctx ends. It returns once everything that it
// started has ended.
func (s *Swarm) Run(ctx context.Context) error { return s.host.Run(ctx) }

// Statements returns what signers that count have said about PIDs, as peers tell it; see claims.Asker.
func (s *Swarm) Statements(ctx context.Context, ids []pir.PID) ([]protocol.Attestation, error) {
	return s.asker.Statements(ctx, ids)
}

// PIRs returns the canonical bytes of PIRs, as far as peers have them; see claims.Asker.
func (s *Swarm) PIRs(ctx context.Context, ids []pir.PID) (map[pir.PID][]byte, error) {
	return s.asker.PIRs(ctx, ids)
}

// Published returns heads of what signers publish, as peers tell them; see claims.Asker.
func (s *Swarm) Published(ctx context.Context, keys []protocol.Key) ([][]byte, error) {
	return s.asker.Published(ctx, keys)
}

// Tell passes a signed head on to connected peers; see claims.Asker.
func (s *Swarm) Tell(ctx context.Context, head []byte) { s.asker.Tell(ctx, head) }

// Fetch brings the tree below root into the System, from all peers that have it; see fetch.Fetcher.
func (s *Swarm) Fetch(ctx context.Context, root cid.CID, size int64, progress func(done, total int64)) error {
	return s.fetcher.Fetch(ctx, root, size, progress)
}

// Announce says that this node has something to say about PIDs now. System.Shared decides what of it is public. It does not wait.
func (s *Swarm) Announce(...pir.PID) { s.host.Advertise() }

// Connect connects to a node at the user's request. The address is a ticket that names a node, or a multiaddr that ends in a peer id.
func (s *Swarm) Connect(ctx context.Context, addr string) error { return s.host.Connect(ctx, addr) }

// Join shows an invitation to the node of a ticket, and returns its answer.
func (s *Swarm) Join(ctx context.Context, ticket string, request []byte) ([]byte, error) {
	return s.host.Join(ctx, ticket, request)
}

// Renew shows this node's credential to all peers again, and hangs up on peers that would not be admitted any more. Call it when either may
// have changed. It does not wait.
func (s *Swarm) Renew() { s.host.Renew() }

// Peers describes the nodes that this one is connected to.
func (s *Swarm) Peers() []protocol.Peer { return s.host.Peers() }

// Status describes the node's part in the swarm.
func (s *Swarm) Status() protocol.SwarmStatus { return s.host.Status() }

// ID is the peer id of the node in text.
func (s *Swarm) ID() string { return s.host.ID() }

// Addresses returns the multiaddrs under which the node can be reached, without its peer id, loopback addresses last.
func (s *Swarm) Addresses() []string { return s.host.Addresses() }

// Listening returns the multiaddrs that another Swarm needs as Options.Listen to listen where this one does.
func (s *Swarm) Listening() []string { return s.host.Listening() }
