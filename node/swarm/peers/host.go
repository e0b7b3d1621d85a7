package peers

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	p2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	"golang.org/x/time/rate"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// Options configure a Host. Key must be set.
type Options struct {
	// Key is the identity of the node, an ed25519 key: its public half is both its peer id and its key as a signer.
	// The host signs only messages that MaySign allows.
	Key crypto.Signer
	// Prefix begins the protocol ids; "" is protocol.Prefix.
	Prefix string
	// Listen are the multiaddrs to listen on, TCP and QUIC. Without any, nobody can call this node.
	Listen []string
	// Bootstrap are the bootstrap peers: multiaddrs that end in a peer id.
	Bootstrap []string
	// MDNS finds nodes on the local network by multicast DNS, and answers those that look for this one.
	MDNS bool
	// Relay lets others reach this node through relays, and offers to relay for others.
	Relay bool
	// Connections is the largest number of connected peers; 0 is 200.
	Connections int
	// Dir is the folder for the saved peers and for what is announced; "" keeps them in memory.
	Dir string
	// Signers returns the signers whose statements count; nil is none.
	Signers func() []protocol.Key
	// Admit returns an error when a peer may not be part of this swarm; nil admits everybody. Credential is what the peer has shown, see
	// Options.Credential. A peer that is not admitted gets no answer from any protocol. Without an error, Admit may return a newer
	// credential for the peer; nil is none.
	Admit func(key protocol.Key, credential []byte) (renewed []byte, err error)
	// Credential returns what this node shows to each peer when Admit is set, at most MaxCredential bytes. Call Renew when it changes.
	Credential func() ([]byte, error)
	// Renewed gets newer credentials for this node from peers that it has shown the old one to; nil drops them.
	Renewed func(credential []byte) error
	// Invited answers a peer that shows an invitation to a mesh: request is what Join got there. nil answers nobody.
	Invited func(ctx context.Context, key protocol.Key, request []byte) ([]byte, error)
	// Log is for operators; nil discards.
	Log *slog.Logger

	// Shared yields what is to be announced in the DHT; nil is nothing.
	Shared func(ctx context.Context) iter.Seq2[routing.Announcement, error]
	// Block returns a block that a Bitswap peer may have, also under the other codec of its hash; nil has none.
	Block func(ctx context.Context, c cid.CID, to routing.Requester) ([]byte, error)
	// Upload bounds the bytes of blocks that Bitswap sends; nil is no bound.
	Upload *rate.Limiter

	// Network replaces the sockets when it is not nil, in tests.
	Network []libp2p.Option
	// NoDHT leaves the DHT out, in tests on synthetic time: the DHT waits for locks, for which no time passes.
	NoDHT bool
	// Running is called by Run once all protocols are answered; d is nil without a DHT. nil is not called. Tests of hostile peers use it.
	Running func(h host.Host, d *dht.IpfsDHT)
}

// A Host is this node in one swarm. All methods may be called from many goroutines, also before Run and after it has returned: then
// no peer is there.
type Host struct {
	o       Options
	log     *slog.Logger
	key     protocol.Key
	host    host.Host
	endHost func() error // closes host and its sockets
	gate    *gate
	book    *routing.Book
	// discovery and bitswap are set while Run runs.
	discovery atomic.Pointer[discovery]
	bitswap   atomic.Pointer[bitswap]
	// saved are the peers that were useful before, bootstrap those of Options.Bootstrap.
	saved     []peer.AddrInfo
	bootstrap map[protocol.Key]bool
	renewed   chan struct{}
	protocols map[string]routing.Handler

	mu       sync.Mutex
	closed   bool
	handlers sync.WaitGroup
}

var _ routing.Router = (*Host)(nil)

// New opens the sockets of a host. Run closes them, so it must be called.
func New(o *Options) (*Host, error) {
	if o.Key == nil {
		return nil, errors.New("open the swarm: it has no key")
	}
	if o.Admit != nil && o.Credential == nil {
		return nil, errors.New("open the swarm: it admits by credentials and has none of its own")
	}
	key, err := newIdentity(o.Key)
	if err != nil {
		return nil, fmt.Errorf("open the swarm: %w", err)
	}
	h := &Host{o: *o, log: o.Log, key: key.public, book: routing.NewBook(), renewed: make(chan struct{}, 1),
		bootstrap: map[protocol.Key]bool{}, protocols: map[string]routing.Handler{},
		gate: &gate{admit: o.Admit, guests: map[peer.ID]*guest{}, out: map[peer.ID]time.Time{}}}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.o.Prefix == "" {
		h.o.Prefix = protocol.Prefix
	}
	if h.o.Connections <= 0 {
		h.o.Connections = defaultConnections
	}
	if h.o.Signers == nil {
		h.o.Signers = func() []protocol.Key { return nil }
	}
	for _, text := range o.Bootstrap {
		info, err := parseAddress(text)
		if err != nil {
			continue // bootstrapPeers warns about it
		}
		if key, err := keyOf(info.ID); err == nil {
			h.bootstrap[key] = true
		}
	}
	registerHash()
	h.host, h.endHost, err = newHost(&h.o, key, h.gate)
	if err != nil {
		return nil, err
	}
	if o.Invited != nil {
		h.Handle(protocol.JoinProtocol, h.serveJoin)
	}
	return h, nil
}

// Handle has a handler answer the streams of a protocol, which is named without the swarm's prefix. It must be called before Run.
func (h *Host) Handle(name string, handler routing.Handler) { h.protocols[name] = handler }

// Close closes the sockets of a host that will not run.
func (h *Host) Close() error { return h.endHost() }

// Run answers peers and keeps connections and announcements until ctx ends. It returns once everything that it started has ended.
func (h *Host) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g := &guarded{Host: h.host, ctx: ctx, gate: h.gate}
	stopGreeting := h.greet(ctx)
	h.saved = h.readSaved()
	var table *dht.IpfsDHT
	if !h.o.NoDHT {
		d, err := h.discover(g)
		if err != nil {
			cancel()
			stopGreeting()
			return errors.Join(err, h.endHost())
		}
		h.discovery.Store(d)
		table = d.dht
	}
	for name, handler := range h.protocols {
		h.serve(ctx, g, name, handler)
	}
	b := newBitswap(ctx, h, g)
	h.bitswap.Store(b)
	if h.o.Running != nil {
		h.o.Running(h.host, table)
	}
	var parts sync.WaitGroup
	if d := h.discovery.Load(); d != nil {
		parts.Go(func() { d.run(ctx) })
	}
	parts.Go(func() { h.keepConnected(ctx) })
	parts.Go(func() { h.keepAdmitted(ctx) })
	if h.o.MDNS {
		parts.Go(func() { h.findLocal(ctx) })
	}
	<-ctx.Done()
	err := h.writeSaved()
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	parts.Wait()
	stopGreeting()
	h.bitswap.Store(nil)
	b.close()
	if d := h.discovery.Swap(nil); d != nil {
		err = errors.Join(err, d.close())
	}
	err = errors.Join(err, h.endHost()) // which ends every stream, and with it every handler
	h.handlers.Wait()
	return err
}

// serve installs the handler of a protocol. Errors of the handler go to the log only.
func (h *Host) serve(ctx context.Context, g host.Host, name string, handler routing.Handler) {
	g.SetStreamHandler(h.protocol(name), func(st network.Stream) {
		h.mu.Lock()
		if h.closed {
			h.mu.Unlock()
			abort(st)
			return
		}
		h.handlers.Add(1)
		h.mu.Unlock()
		defer h.handlers.Done()
		key, err := keyOf(st.Conn().RemotePeer())
		if err != nil {
			abort(st)
			return
		}
		from := routing.Requester{Key: key, Private: isLocal(st.Conn().RemoteMultiaddr())}
		err = handler(ctx, &stream{Stream: st, stop: noStop}, h.book.Peer(key), from)
		var reset *routing.ResetError
		switch {
		case err == nil || errors.Is(err, io.EOF):
			err = st.Close()
		case errors.As(err, &reset): // the peer has what it wanted
			abort(st)
			err = nil
		default:
			abort(st)
		}
		if err != nil && ctx.Err() == nil {
			h.log.Debug("serve", "protocol", name, "peer", key, "error", err)
		}
	})
}

func (h *Host) protocol(name string) p2pprotocol.ID { return p2pprotocol.ID(h.o.Prefix + name) }

// Book is what the host remembers about peers.
func (h *Host) Book() *routing.Book { return h.book }

// Peer implements routing.Router.
func (h *Host) Peer(key protocol.Key) *routing.Peer { return h.book.Peer(key) }
