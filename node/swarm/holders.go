package swarm

import (
	"bufio"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

const (
	// probePeers is how many connected peers are asked whether they have a root, and probeAtOnce how many at a time.
	probePeers, probeAtOnce = 48, 16
	// probeTimeout is how long a peer may take to say whether it has a root, beside the time that the root's bytes buy at probeRate
	// bytes a second, and probeWhole how long it may take in all.
	probeTimeout, probeWhole = 5 * time.Second, 20 * time.Second
	probeRate                = 8 << 10
	// findHolders is how many holders are taken from the DHT for one root, and findHoldersTimeout how long that may take.
	findHolders, findHoldersTimeout = 12, 20 * time.Second
	// maxProviders is how many of those that the DHT names for a root are tried, beside the ones that are known. Anybody can say
	// of any address that a holder is there, so it also bounds what a lie makes this node do to others.
	maxProviders = 128
)

// look begins to look for holders: among the connected peers, and in the DHT. f.mu is held.
func (f *fetch) look(ctx context.Context) {
	f.lookAround(ctx)
	f.looking++
	f.helpers.Go(func() {
		defer f.lookedFor()
		ctx, cancel := context.WithTimeout(ctx, findHoldersTimeout)
		defer cancel()
		f.lookFar(ctx)
	})
}

// lookFar tries those that the DHT names, until enough of them have proved to be holders. Whoever is known is tried at once;
// of the others many may be false, and wait for each other.
func (f *fetch) lookFar(ctx context.Context) {
	var tries sync.WaitGroup
	defer tries.Wait()
	slots := make(chan struct{}, probeAtOnce)
	var good atomic.Int32
	rest, preferred := maxProviders, f.s.preferred()
	for info := range f.s.findProviders(ctx, protocol.ContentKey(f.root), 0) {
		known := preferred(info.ID) <= useful
		if good.Load() >= findHolders {
			return
		}
		if !known {
			if rest == 0 {
				continue
			}
			rest--
		}
		tries.Go(func() {
			if !known {
				slots <- struct{}{}
				defer func() { <-slots }()
			}
			if good.Load() < findHolders && f.try(ctx, info) {
				good.Add(1)
			}
		})
	}
}

// try connects to a peer of which the DHT says that it has the root, and asks it.
func (f *fetch) try(ctx context.Context, info peer.AddrInfo) bool {
	m, count := f.s.peers.get(info.ID), &f.s.peers.providers
	h := f.claim(info.ID)
	if h == nil {
		return false
	}
	if !f.s.isConnected(info.ID) {
		if !m.ready() || ctx.Err() != nil {
			f.disclaim(info.ID)
			return false
		}
		each, cancel := context.WithTimeout(ctx, probeTimeout)
		err := f.s.connect(each, info)
		cancel()
		if err != nil {
			f.disclaim(info.ID)
			if ctx.Err() == nil {
				m.failed()
				count.unreachable.Add(1)
			}
			return false
		}
	}
	has := f.probe(ctx, h)
	switch {
	case has:
		count.holders.Add(1)
	case ctx.Err() == nil:
		count.without.Add(1)
	}
	return has
}

// claim returns the peer as a holder that the caller asks from now on, or nil if somebody asks it or has: two who find the same
// peer ask it once.
func (f *fetch) claim(id peer.ID) *holder {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known[id] != nil || id == f.s.host.ID() {
		return nil
	}
	h := &holder{m: f.s.peers.get(id)}
	f.known[id] = h
	return h
}

// disclaim takes claim back: the peer was not asked.
func (f *fetch) disclaim(id peer.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.known, id)
}

// lookAround begins to look for holders among the connected peers. f.mu is held.
func (f *fetch) lookAround(ctx context.Context) {
	slots := make(chan struct{}, probeAtOnce)
	for _, m := range f.s.connected(probePeers) {
		f.looking++
		f.helpers.Go(func() {
			defer f.lookedFor()
			slots <- struct{}{}
			defer func() { <-slots }()
			if h := f.claim(m.id); h != nil {
				f.probe(ctx, h)
			}
		})
	}
}

func (f *fetch) lookedFor() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looking--
	f.cond.Broadcast()
}

// probe asks a peer that was claimed whether it has the root, for the price of a node at most.
func (f *fetch) probe(ctx context.Context, h *holder) bool {
	id := h.m.id
	has, err := f.s.has(ctx, id, f.root)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			f.s.log.Debug("ask for a root", "peer", id, "root", f.root, "error", err)
		}
		if errors.Is(err, errForeign) && f.s.speaksBitswap(id) {
			h.plain = true
			f.plain = append(f.plain, h)
		}
		return false
	}
	if !has {
		delete(f.known, id) // it may have it later
		return false
	}
	f.holders = append(f.holders, h)
	f.cond.Broadcast()
	return true
}

// errForeign says that a peer does not speak our protocols.
var errForeign = errors.New("it is no node of nuka")

// has asks a peer whether it has a block: for the block if it is a node, and for the nodes below it, of which there are
// none, if it is a leaf.
func (s *Swarm) has(ctx context.Context, id peer.ID, c cid.CID) (bool, error) {
	spoken, err := s.host.Peerstore().GetProtocols(id) // none until the peer has said
	if err == nil && len(spoken) > 0 && !slices.Contains(spoken, s.protocol(protocol.WantProtocol)) {
		return false, errForeign
	}
	ctx, cancel := context.WithTimeout(ctx, probeWhole)
	defer cancel()
	begin := time.Now()
	st, done, err := s.open(ctx, id, protocol.WantProtocol)
	if err != nil {
		return false, err
	}
	defer done()
	kind := protocol.AskNodes
	if c.Codec() == cid.DagPB {
		kind = protocol.AskBlocks
	}
	if err := st.SetWriteDeadline(begin.Add(probeTimeout)); err != nil {
		return false, err
	}
	if err := askOnce(st, kind, c); err != nil {
		return false, err
	}
	m := s.peers.get(id)
	e, b, err := protocol.ReadAnswer(bufio.NewReader(&paced{Stream: st, m: m, until: begin.Add(probeTimeout), rate: probeRate}), nil, protocol.MaxBlock)
	if err != nil {
		return false, err
	}
	m.answered(time.Since(begin))
	if kind == protocol.AskBlocks {
		return e == protocol.Plain && cid.Sum(c.Codec(), b) == c, nil
	}
	return e == protocol.End, nil
}

func askOnce(st network.Stream, kind protocol.Ask, c cid.CID) error {
	if err := protocol.WriteAsk(st, kind, [][]byte{c.Bytes()}); err != nil {
		return err
	}
	return st.CloseWrite()
}
