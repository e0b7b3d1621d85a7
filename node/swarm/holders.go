package swarm

import (
	"bufio"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

const (
	// probePeers is how many connected peers are asked whether they have a root, and probeAtOnce how many at a time.
	probePeers, probeAtOnce = 48, 16
	// probeTimeout is how long a peer may take to say whether it has a root.
	probeTimeout = 5 * time.Second
	// findHolders is how many peers are taken from the DHT for one root, and findHoldersTimeout how long that may take.
	findHolders, findHoldersTimeout = 12, 20 * time.Second
)

// look begins to look for holders: among the connected peers, and in the DHT. f.mu is held.
func (f *fetch) look(ctx context.Context) {
	f.lookAround(ctx)
	f.looking++
	f.parts.Go(func() {
		defer f.lookedFor()
		ctx, cancel := context.WithTimeout(ctx, findHoldersTimeout)
		defer cancel()
		for info := range f.s.findProviders(ctx, protocol.ContentKey(f.root), findHolders) {
			f.start(func() {
				m := f.s.peers.get(info.ID)
				if !f.s.isConnected(info.ID) {
					if !m.ready() {
						return
					}
					if err := f.s.connect(ctx, info); err != nil {
						m.failed()
						return
					}
				}
				f.probe(ctx, info.ID)
			})
		}
	})
}

// lookAround begins to look for holders among the connected peers. f.mu is held.
func (f *fetch) lookAround(ctx context.Context) {
	slots := make(chan struct{}, probeAtOnce)
	for _, m := range f.s.connected(probePeers) {
		f.looking++
		f.parts.Go(func() {
			defer f.lookedFor()
			slots <- struct{}{}
			defer func() { <-slots }()
			f.probe(ctx, m.id)
		})
	}
}

// start runs one part of looking for holders.
func (f *fetch) start(part func()) {
	f.mu.Lock()
	f.looking++
	f.mu.Unlock()
	f.parts.Go(func() {
		defer f.lookedFor()
		part()
	})
}

func (f *fetch) lookedFor() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looking--
	f.cond.Broadcast()
}

// probe asks a peer whether it has the root, for the price of a node at most, unless that is known.
func (f *fetch) probe(ctx context.Context, id peer.ID) {
	f.mu.Lock()
	seen := f.known[id] != nil || id == f.s.host.ID()
	if !seen {
		f.known[id] = &holder{m: f.s.peers.get(id)}
	}
	f.mu.Unlock()
	if seen {
		return
	}
	has, err := f.s.has(ctx, id, f.root)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			f.s.log.Debug("ask for a root", "peer", id, "root", f.root, "error", err)
		}
		if errors.Is(err, errForeign) && f.s.speaksBitswap(id) {
			f.known[id].plain = true
			f.plain = append(f.plain, f.known[id])
		}
		return
	}
	if !has {
		delete(f.known, id) // it may have it later
		return
	}
	f.holders = append(f.holders, f.known[id])
	f.cond.Broadcast()
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
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
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
	if err := askOnce(st, kind, c); err != nil {
		return false, err
	}
	e, b, err := protocol.ReadAnswer(bufio.NewReader(st), nil, protocol.MaxBlock)
	if err != nil {
		return false, err
	}
	m := s.peers.get(id)
	m.answered(time.Since(begin))
	m.took(len(b))
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
