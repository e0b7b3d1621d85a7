package peers

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"sync/atomic"
	"time"

	gocid "github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/provider"
	"github.com/libp2p/go-libp2p-kad-dht/provider/keystore"
	"github.com/libp2p/go-libp2p-kad-dht/records"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	p2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multihash"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/protocol"
)

const (
	// scanEvery is how often the shared announcements are compared with the DHT's when nothing says that they have changed, and scanDelay
	// how long after Advertise: more may follow.
	scanEvery, scanDelay = time.Hour, 500 * time.Millisecond
	// provideAtOnce is the largest number of new keys that are announced one by one, which is quick for a few; more wait for the sweep.
	provideAtOnce = 16
	// provideTimeout is how long announcing one of them may take.
	provideTimeout = 20 * time.Second
	// stateFile keeps the announcements and their schedule, below Options.Dir.
	stateFile = "announced"
)

// A discovery is the node's part in the DHT.
type discovery struct {
	h        *Host
	host     host.Host // the guarded one
	dht      *dht.IpfsDHT
	provider *provider.SweepingProvider
	keys     keystore.Keystore
	kept     *logstore
	online   atomic.Bool
	provided atomic.Int64
	scan     chan struct{}
}

// discover joins the DHT of the swarm. A later discover in the same folder goes on with the announcements of this one.
func (h *Host) discover(guarded host.Host) (*discovery, error) {
	d := &discovery{h: h, host: guarded, scan: make(chan struct{}, 1)}
	file := ""
	if h.o.Dir != "" {
		file = filepath.Join(h.o.Dir, stateFile)
	}
	var err error
	if d.kept, err = openLogstore(file); err != nil {
		return nil, err
	}
	if d.dht, err = dht.New(guarded,
		dht.ProtocolPrefix(p2pprotocol.ID(h.o.Prefix)),
		dht.Mode(dht.ModeAutoServer), // on a network of private addresses no peer ever confirms that a node can be reached
		dht.DisableValues(),
		dht.ProviderDatastore(newRecordstore()), dht.ProviderManagerOpts(records.Cache(nocache{})),
		dht.BootstrapPeersFunc(h.startPeers),
	); err != nil {
		return nil, errors.Join(fmt.Errorf("join the dht: %w", err), d.kept.Close())
	}
	if err := d.provide(); err != nil {
		return nil, errors.Join(fmt.Errorf("join the dht: %w", err), d.dht.Close(), d.kept.Close())
	}
	return d, nil
}

// provide makes the provider, which announces keys again and again, one region of the key space after the other.
func (d *discovery) provide() (err error) {
	if d.keys, err = keystore.NewKeystore(namespace.Wrap(d.kept, datastore.NewKey("keys"))); err != nil {
		return err
	}
	d.provider, err = provider.New(
		provider.WithHost(d.host), provider.WithPeerID(d.host.ID()), provider.WithRouter(d.dht),
		provider.WithMessageSender(d.dht.MessageSender()), provider.WithSelfAddrs(d.host.Addrs),
		provider.WithKeystore(d.keys), provider.WithDatastore(namespace.Wrap(d.kept, datastore.NewKey("queue"))),
		provider.WithAddLocalRecord(func(ctx context.Context, h multihash.Multihash) error {
			return d.dht.ProviderStore().AddProvider(ctx, h, peer.AddrInfo{ID: d.host.ID()})
		}),
		provider.WithConnectivityCallbacks(func() { d.online.Store(true); d.changed() },
			func() { d.online.Store(false) }, func() { d.online.Store(false) }),
	)
	if err != nil {
		return errors.Join(err, d.keys.Close())
	}
	return nil
}

// changed asks run for an update soon.
func (d *discovery) changed() { signal(d.scan) }

// run announces what is shared, and withdraws what is not, until ctx ends.
func (d *discovery) run(ctx context.Context) {
	if err := d.dht.Bootstrap(ctx); err != nil {
		d.h.log.Warn("join the dht", "error", err)
	}
	every := time.NewTicker(scanEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		case <-d.scan:
			select {
			case <-time.After(scanDelay):
			case <-ctx.Done():
				return
			}
		}
		if !d.online.Load() {
			continue // the provider calls changed once it is online
		}
		if err := d.update(ctx); err != nil && ctx.Err() == nil {
			d.h.log.Warn("announce", "error", err)
		}
	}
}

// update announces what is shared and not announced yet, and withdraws what is not shared any more.
func (d *discovery) update(ctx context.Context) error {
	if d.h.o.Shared == nil {
		return nil
	}
	shared := map[string]bool{}
	for a, err := range d.h.o.Shared(ctx) {
		if err != nil {
			return err
		}
		if !a.PID.IsZero() {
			shared[string(dhtKey(protocol.StatementsKey(a.PID)))] = true
		}
		if !a.Root.IsZero() {
			shared[string(dhtKey(protocol.ContentKey(a.Root)))] = true
		}
		if !a.Signer.IsZero() {
			shared[string(dhtKey(protocol.PublishedKey(a.Signer)))] = true
		}
	}
	d.provided.Store(int64(len(shared)))
	announced, err := d.keys.Get(ctx, "")
	if err != nil {
		return err
	}
	var gone []multihash.Multihash
	for _, h := range announced {
		if !shared[string(h)] {
			gone = append(gone, h)
		}
		delete(shared, string(h))
	}
	fresh := make([]multihash.Multihash, 0, len(shared))
	for h := range shared {
		fresh = append(fresh, multihash.Multihash(h))
	}
	if len(gone) > 0 {
		if err := d.provider.StopProviding(gone...); err != nil {
			return err
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	if err := d.provider.StartProviding(false, fresh...); err != nil {
		return err
	}
	if len(fresh) > provideAtOnce {
		return nil
	}
	for _, h := range fresh {
		ctx, cancel := context.WithTimeout(ctx, provideTimeout)
		err := d.dht.Provide(ctx, gocid.NewCidV1(gocid.Raw, h), true)
		cancel()
		if err != nil {
			return err // the sweep announces it later
		}
	}
	return nil
}

// close leaves the DHT. The host must be open still.
func (d *discovery) close() error {
	return errors.Join(d.provider.Close(), d.keys.Close(), d.dht.Close(), d.kept.Close())
}

// dhtKey is the form that a key has in the DHT.
func dhtKey(key [32]byte) multihash.Multihash {
	h, err := multihash.Encode(key[:], multihash.BLAKE3)
	if err != nil {
		panic("swarm: " + err.Error()) // its length is right
	}
	return h
}

// Advertise says that what Options.Shared yields has changed. It does not wait.
func (h *Host) Advertise() {
	if d := h.discovery.Load(); d != nil {
		d.changed()
	}
}

// findPeer looks for the addresses of a peer.
func (h *Host) findPeer(ctx context.Context, id peer.ID) (peer.AddrInfo, error) {
	d := h.discovery.Load()
	if d == nil {
		return peer.AddrInfo{}, errors.New("the swarm does not run")
	}
	return d.dht.FindPeer(ctx, id)
}

// Lookup implements routing.Router.
func (h *Host) Lookup(ctx context.Context, key [32]byte, n int) iter.Seq[routing.Provider] {
	return func(yield func(routing.Provider) bool) {
		d := h.discovery.Load()
		if d == nil {
			return
		}
		classOf := h.classes()
		ctx, cancel := context.WithCancel(ctx)
		found := d.dht.FindProvidersAsync(ctx, gocid.NewCidV1(gocid.Raw, dhtKey(key)), n)
		defer func() {
			cancel()
			for range found { // until it has ended
			}
		}()
		for info := range found {
			key, err := keyOf(info.ID)
			if err != nil || key == h.key {
				continue
			}
			p := routing.Provider{Key: key, Known: classOf(key, info.ID) <= useful}
			for _, a := range info.Addrs {
				p.Addresses = append(p.Addresses, a.String())
			}
			if !yield(p) {
				return
			}
		}
	}
}
