package fetch

import (
	"bufio"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/node/swarm/wire"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

const (
	// probePeers is the largest number of connected peers that are asked whether they have a root, and probeAtOnce how many at a time.
	probePeers, probeAtOnce = 48, 16
	// probeTimeout is how long a peer may take to answer that, beside the time that the root's bytes buy at probeRate bytes a second, and
	// probeWhole how long it may take in all.
	probeTimeout, probeWhole = 5 * time.Second, 20 * time.Second
	probeRate                = 8 << 10
	// wantProviders is how many providers a search in the DHT looks for, and lookupTimeout how long it may take.
	wantProviders, lookupTimeout = 12, 20 * time.Second
	// maxProviders is how many unknown peers that the DHT names for a root are tried. Anybody can announce any address as a provider's, so
	// this also bounds how many connections a lie makes this node open to others.
	maxProviders = 128
)

// look begins to look for providers: among the connected peers, and in the DHT. f.mu is held.
func (f *Job) look(ctx context.Context) {
	f.lookAround(ctx)
	f.looking++
	f.helpers.Go(func() {
		defer f.lookedFor()
		ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
		defer cancel()
		f.lookFar(ctx)
	})
}

// lookFar tries the peers that the DHT names until enough of them proved to be providers. Known peers are tried at once; the others, many
// of which may be false, wait for each other.
func (f *Job) lookFar(ctx context.Context) {
	var tries sync.WaitGroup
	defer tries.Wait()
	slots := make(chan struct{}, probeAtOnce)
	var good atomic.Int32
	rest := maxProviders
	for found := range f.Network.Lookup(ctx, protocol.ContentKey(f.root), 0) {
		if good.Load() >= wantProviders {
			return
		}
		if !found.Known {
			if rest == 0 {
				continue
			}
			rest--
		}
		tries.Go(func() {
			if !found.Known {
				slots <- struct{}{}
				defer func() { <-slots }()
			}
			if good.Load() < wantProviders && f.try(ctx, found) {
				good.Add(1)
			}
		})
	}
}

// try connects to a peer that the DHT names, asks it for the root, and reports whether it is a provider.
func (f *Job) try(ctx context.Context, found routing.Provider) bool {
	p := f.claim(found.Key)
	if p == nil {
		return false
	}
	if !f.Network.IsConnected(p.peer) {
		if !p.peer.Ready() || ctx.Err() != nil {
			f.disclaim(found.Key)
			return false
		}
		short, cancel := context.WithTimeout(ctx, probeTimeout)
		err := f.Network.Dial(short, found)
		cancel()
		if err != nil {
			f.disclaim(found.Key)
			if ctx.Err() == nil {
				p.peer.Failed()
				f.s.Unreachable.Add(1)
			}
			return false
		}
	}
	has := f.probe(ctx, p)
	switch {
	case has:
		f.s.Proved.Add(1)
	case ctx.Err() == nil:
		f.s.Without.Add(1)
	}
	return has
}

// claim returns the peer as a provider that the caller asks from now on, or nil if it was claimed before: two searches that find the same
// peer ask it once.
func (f *Job) claim(key protocol.Key) *provider {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.claimed[key] != nil {
		return nil
	}
	p := &provider{peer: f.Network.Peer(key)}
	f.claimed[key] = p
	return p
}

// disclaim takes claim back: the peer was not asked.
func (f *Job) disclaim(key protocol.Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.claimed, key)
}

// lookAround begins to look for providers among the connected peers. f.mu is held.
func (f *Job) lookAround(ctx context.Context) {
	slots := make(chan struct{}, probeAtOnce)
	for _, connected := range f.Network.Connected(probePeers) {
		f.looking++
		f.helpers.Go(func() {
			defer f.lookedFor()
			slots <- struct{}{}
			defer func() { <-slots }()
			if p := f.claim(connected.Key); p != nil {
				f.probe(ctx, p)
			}
		})
	}
}

func (f *Job) lookedFor() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looking--
	f.cond.Broadcast()
}

// probe asks a claimed peer whether it has the root, at the price of at most one node.
func (f *Job) probe(ctx context.Context, p *provider) bool {
	has, err := f.has(ctx, p.peer)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			f.Log.Debug("ask for a root", "peer", p.peer, "root", f.root, "error", err)
		}
		if errors.Is(err, errForeign) && f.Network.SpeaksBitswap(p.peer) {
			p.bitswap = true
			f.bitswap = append(f.bitswap, p)
		}
		return false
	}
	if !has {
		delete(f.claimed, p.peer.Key) // it may have the root later
		return false
	}
	f.providers = append(f.providers, p)
	f.cond.Broadcast()
	return true
}

// errForeign says that a peer does not speak the swarm's protocols.
var errForeign = errors.New("it is not a node of nuka")

// has asks a peer whether it has the root: for the block if it is a node, and for the nodes below it, of which there are none, if it is a
// leaf.
func (f *Job) has(ctx context.Context, p *routing.Peer) (bool, error) {
	if f.Network.Refuses(p, protocol.WantProtocol) {
		return false, errForeign
	}
	ctx, cancel := context.WithTimeout(ctx, probeWhole)
	defer cancel()
	begin := time.Now()
	st, err := f.Network.Open(ctx, p, protocol.WantProtocol)
	if err != nil {
		return false, err
	}
	defer st.Reset(0)
	kind := protocol.AskNodes
	if f.root.Codec() == cid.DagPB {
		kind = protocol.AskBlocks
	}
	if err := st.SetWriteDeadline(begin.Add(probeTimeout)); err != nil {
		return false, err
	}
	if err := protocol.WriteAsk(st, kind, [][]byte{f.root.Bytes()}); err != nil {
		return false, err
	}
	if err := st.CloseWrite(); err != nil {
		return false, err
	}
	r := bufio.NewReader(&wire.Paced{Stream: st, Peer: p, Until: begin.Add(probeTimeout), Rate: probeRate})
	e, b, err := protocol.ReadAnswer(r, nil, protocol.MaxBlock)
	if err != nil {
		return false, err
	}
	p.Answered(time.Since(begin))
	if kind == protocol.AskBlocks {
		return e == protocol.Plain && cid.Sum(f.root.Codec(), b) == f.root, nil
	}
	return e == protocol.End, nil
}
