package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	p2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	"golang.org/x/time/rate"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A Swarm is a membership in a network. All methods may be called from many goroutines, also before Run and after it has
// returned: then nobody is there.
type Swarm struct {
	o       Options
	log     *slog.Logger
	key     protocol.Key
	host    host.Host
	endHost func() error // closes host and its sockets
	gate    *gate
	peers   *book
	// up and down are nil without a bound.
	up, down *rate.Limiter
	codec    *codec
	// discovery is set while Run runs.
	discovery atomic.Pointer[discovery]
	// bitswap is set while Run runs.
	bitswap atomic.Pointer[bitswap]
	// known are the peers that were of use before, begin those of Options.Bootstrap.
	known   []peer.AddrInfo
	begin   map[peer.ID]bool
	renewed chan struct{}

	mu       sync.Mutex
	closed   bool
	handlers sync.WaitGroup
	fetching map[cid.CID]*fetch
}

// New opens the sockets of a swarm. Run must be called, which closes them.
func New(o *Options) (*Swarm, error) {
	if o.Key == nil || o.System == nil {
		return nil, errors.New("open the swarm: it needs a key and a system")
	}
	key, err := newIdentity(o.Key)
	if err != nil {
		return nil, fmt.Errorf("open the swarm: %w", err)
	}
	s := &Swarm{o: *o, log: o.Log, key: key.public, fetching: map[cid.CID]*fetch{}, renewed: make(chan struct{}, 1)}
	if o.Admit != nil && o.Credential == nil {
		return nil, errors.New("open the swarm: it admits by a credential and has none")
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.o.Prefix == "" {
		s.o.Prefix = protocol.Prefix
	}
	if s.o.Connections <= 0 {
		s.o.Connections = defaultConnections
	}
	if s.o.Signers == nil {
		s.o.Signers = func() []protocol.Key { return nil }
	}
	s.up, s.down = limiter(o.Up), limiter(o.Down)
	if s.codec, err = newCodec(); err != nil {
		return nil, err
	}
	registerHash()
	s.peers = newBook()
	s.begin = map[peer.ID]bool{}
	for _, text := range o.Bootstrap {
		if info, err := parseAddress(text); err == nil { // who calls them says what is wrong with the others
			s.begin[info.ID] = true
		}
	}
	s.gate = &gate{admit: o.Admit, guests: map[peer.ID]*guest{}, out: map[peer.ID]time.Time{}}
	if s.host, s.endHost, err = newHost(&s.o, key, s.gate); err != nil {
		return nil, err
	}
	if err := s.measure(o.Metrics); err != nil {
		return nil, errors.Join(fmt.Errorf("figures of the swarm: %w", err), s.endHost())
	}
	return s, nil
}

// limiter returns nil for no bound. A whole block fits into its burst.
func limiter(perSecond int64) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), int(max(perSecond/8, protocol.MaxBlock+1)))
}

// Run is the swarm's life: it answers peers, keeps connections and announcements. It returns when ctx has ended and
// everything it started as well.
func (s *Swarm) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h := &guarded{Host: s.host, ctx: ctx, gate: s.gate}
	stopGreeting := s.greet(ctx)
	s.known = s.readKnown()
	if !s.o.noDHT {
		d, err := s.discover(h)
		if err != nil {
			cancel()
			stopGreeting()
			return errors.Join(err, s.endHost())
		}
		s.discovery.Store(d)
	}
	s.serve(ctx, h)
	b := newBitswap(ctx, s, h)
	s.bitswap.Store(b)
	var parts sync.WaitGroup
	if d := s.discovery.Load(); d != nil {
		parts.Go(func() { d.run(ctx) })
	}
	parts.Go(func() { s.keepConnected(ctx) })
	parts.Go(func() { s.keepAdmitted(ctx) })
	if s.o.MDNS {
		parts.Go(func() { s.findLocal(ctx) })
	}
	<-ctx.Done()
	err := s.writeKnown()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	parts.Wait()
	stopGreeting()
	s.bitswap.Store(nil)
	b.close()
	if d := s.discovery.Swap(nil); d != nil {
		err = errors.Join(err, d.close())
	}
	err = errors.Join(err, s.endHost()) // which ends every stream, and with it every handler
	s.handlers.Wait()
	return err
}

// serve installs the protocols.
func (s *Swarm) serve(ctx context.Context, h host.Host) {
	s.handle(ctx, h, protocol.AttProtocol, s.serveStatements)
	s.handle(ctx, h, protocol.WantProtocol, s.serveBlocks)
	s.handle(ctx, h, protocol.HintProtocol, s.serveHint)
	s.handle(ctx, h, protocol.PIRProtocol, s.servePIRs)
	if s.o.Invited != nil {
		s.handle(ctx, h, protocol.JoinProtocol, s.serveJoin)
	}
}

// handle answers the streams of a protocol. The error of serve is told to operators only.
func (s *Swarm) handle(ctx context.Context, h host.Host, name string, serve func(context.Context, network.Stream, *member) error) {
	h.SetStreamHandler(s.protocol(name), func(st network.Stream) {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			abort(st)
			return
		}
		s.handlers.Add(1)
		s.mu.Unlock()
		defer s.handlers.Done()
		m := s.peers.get(st.Conn().RemotePeer())
		err := serve(ctx, st, m)
		var reset *network.StreamError
		switch {
		case err == nil || errors.Is(err, io.EOF):
			err = st.Close()
		case errors.As(err, &reset) && reset.Remote: // it has what it wanted
			abort(st)
			err = nil
		default:
			abort(st)
		}
		if err != nil && ctx.Err() == nil {
			s.log.Debug("serve", "protocol", name, "peer", m.id, "error", err)
		}
	})
}

func (s *Swarm) protocol(name string) p2pprotocol.ID { return p2pprotocol.ID(s.o.Prefix + name) }

// abort ends a stream at once; it fails only when there is none any more.
func abort(st network.Stream) { _ = st.Reset() }

// open opens a stream to a connected peer. It ends with ctx.
func (s *Swarm) open(ctx context.Context, id peer.ID, name string) (network.Stream, func(), error) {
	ctx2, cancel := context.WithTimeout(network.WithNoDial(network.WithAllowLimitedConn(ctx, name), name), openTimeout)
	defer cancel()
	st, err := s.host.NewStream(ctx2, id, s.protocol(name))
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { abort(st) })
	return st, func() { stop(); abort(st) }, nil
}

// openTimeout is how long a peer may take to accept a stream.
const openTimeout = 5 * time.Second

// asker says who is at the other end of a stream.
func asker(st network.Stream) (Asker, error) {
	key, err := keyOf(st.Conn().RemotePeer())
	return Asker{Key: key, Private: isLocal(st.Conn().RemoteMultiaddr())}, err
}

// ID is the peer id of the node in text.
func (s *Swarm) ID() string { return s.host.ID().String() }

// Addresses are the multiaddrs under which the node listens, without its peer id, those of this machine alone last.
// They are what a ticket holds.
func (s *Swarm) Addresses() []string {
	addrs := slices.Clone(s.host.Addrs())
	slices.SortStableFunc(addrs, func(a, b ma.Multiaddr) int { return loopbackLast(a) - loopbackLast(b) })
	list := make([]string, 0, len(addrs))
	for _, a := range addrs {
		list = append(list, a.String())
	}
	return list
}

// Listening are the multiaddrs that another swarm would have to be given as Options.Listen to be found where this one is.
func (s *Swarm) Listening() []string {
	var list []string
	for _, a := range s.host.Network().ListenAddresses() {
		list = append(list, a.String())
	}
	return list
}

// Status says how the node stands in the swarm.
func (s *Swarm) Status() protocol.SwarmStatus {
	st := protocol.SwarmStatus{Addresses: s.Addresses(), Bootstrap: slices.Clone(s.o.Bootstrap), Peers: len(s.host.Network().Peers())}
	if d := s.discovery.Load(); d != nil {
		st.Running, st.Table, st.Provided = true, d.dht.RoutingTable().Size(), int(d.provided.Load())
	}
	t := protocol.Ticket{Node: s.key, Addresses: st.Addresses}
	t.Addresses = t.Addresses[:min(len(t.Addresses), maxTicketAddresses)]
	st.Ticket = t.String()
	return st
}

// maxTicketAddresses is how many addresses a ticket of the node holds, so that it can be copied by hand.
const maxTicketAddresses = 8
