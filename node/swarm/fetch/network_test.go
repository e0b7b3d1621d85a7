package fetch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/node/swarm/routing/routingtest"
	"github.com/MordragT/nuka/node/swarm/wire"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A fake is a Network in memory. Its peers answer single requests, behind links of a rate and a round trip.
type fake struct {
	*routingtest.Network
	peers []*fakePeer
}

// A fakePeer is a peer of a fake.
type fakePeer struct {
	*routingtest.Node
	rate   int // bytes a second of its link
	blocks map[cid.CID][]byte
	// answer, when set, changes what is sent for a leaf; nil sends nothing any more.
	answer func(c cid.CID, b []byte) []byte
	// vanish, when set, is after how many leaves it has nothing any more.
	vanish int

	mu    sync.Mutex
	given int // leaves
	sent  int // bytes
}

const roundTrip = 50 * time.Millisecond

// add adds a connected peer that has blocks.
func (n *fake) add(blocks map[cid.CID][]byte, rate int) *fakePeer {
	p := &fakePeer{rate: rate, blocks: blocks}
	p.Node = n.Add(p.serve)
	n.peers = append(n.peers, p)
	return p
}

// SpeaksBitswap implements Network: a peer speaks Bitswap or the swarm's protocols.
func (n *fake) SpeaksBitswap(p *routing.Peer) bool { return n.Node(p.Key).Foreign }

// Blocks implements Network.
func (n *fake) Blocks(ctx context.Context, p *routing.Peer, list []cid.CID, _ int64, take func(cid.CID, []byte) error) error {
	for _, other := range n.peers {
		for _, c := range list {
			if other.Key != p.Key {
				continue
			}
			if err := take(c, other.blocks[c]); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// block returns a block unless the peer does not have it, or any more.
func (p *fakePeer) block(c cid.CID) ([]byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.Codec() == cid.Raw {
		p.given++
	}
	b, ok := p.blocks[c]
	return b, ok && (p.vanish == 0 || p.given <= p.vanish)
}

// bytesSent is how many bytes of blocks the peer has sent.
func (p *fakePeer) bytesSent() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}

// serve answers the requests of one stream.
func (p *fakePeer) serve(_ string, c *routingtest.Stream) {
	r, w := bufio.NewReader(c), bufio.NewWriter(c)
	for {
		kind, items, err := protocol.ReadAsk(r)
		if err != nil {
			return
		}
		time.Sleep(roundTrip)
		for _, item := range items {
			id, err := cid.FromBytes(item)
			if err != nil {
				return
			}
			b, ok := p.block(id)
			e := protocol.Plain
			switch {
			case kind == protocol.AskParts || !ok:
				e, b = protocol.Missing, nil
			case kind == protocol.AskNodes && id.Codec() == cid.Raw:
				e = protocol.End
			case p.answer != nil && id.Codec() == cid.Raw:
				if b = p.answer(id, b); b == nil {
					_, _ = io.Copy(io.Discard, c) // until the stream is reset
					return
				}
			}
			if e != protocol.End {
				time.Sleep(time.Duration(len(b)) * time.Second / time.Duration(p.rate))
				if protocol.WriteAnswer(w, e, b) != nil || w.Flush() != nil {
					return
				}
				p.mu.Lock()
				p.sent += len(b)
				p.mu.Unlock()
			}
		}
		if kind == protocol.AskNodes {
			for range items {
				if protocol.WriteAnswer(w, protocol.End, nil) != nil {
					return
				}
			}
		}
		if w.Flush() != nil {
			return
		}
	}
}

// tree makes a folder of n files of one leaf each.
func tree(t testing.TB, n, size int) (cid.CID, map[cid.CID][]byte) {
	t.Helper()
	r := rand.NewChaCha8([32]byte{byte(n)})
	blocks := map[cid.CID][]byte{}
	var entries []cid.DirEntry
	for i := range n {
		data := make([]byte, size)
		r.Read(data)
		c := cid.Sum(cid.Raw, data)
		blocks[c] = data
		entries = append(entries, cid.DirEntry{Name: fmt.Sprintf("file-%06d", i), CID: c, Tsize: int64(size)})
	}
	root, nodes, err := cid.Dir(entries)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range nodes {
		blocks[b.CID] = b.Data
	}
	return root, blocks
}

// A memory is a Store, and the Receiver of one folder of files of one leaf each.
type memory struct {
	mu     sync.Mutex
	root   cid.CID
	node   bool
	sizes  map[cid.CID]int64 // of all leaves
	have   map[cid.CID]bool
	whole  bool
	closed bool
}

func (m *memory) Receive(_ context.Context, root cid.CID, _ int64) (Receiver, error) {
	m.root, m.closed = root, false
	if m.have == nil {
		m.have, m.sizes = map[cid.CID]bool{}, map[cid.CID]int64{}
	}
	return m, nil
}

func (m *memory) WantNodes() []cid.CID {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.node {
		return nil
	}
	return []cid.CID{m.root}
}

func (m *memory) WantLeaves() (list []cid.Leaf) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c, size := range m.sizes {
		if !m.have[c] {
			list = append(list, cid.Leaf{CID: c, Size: size})
		}
	}
	return list
}

func (m *memory) Put(b cid.Block) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if cid.Sum(b.CID.Codec(), b.Data) != b.CID {
		panic("a block that was not compared with its CID")
	}
	if b.CID != m.root {
		m.have[b.CID] = true
		return nil
	}
	n, err := cid.Decode(b.Data)
	if err != nil {
		return err
	}
	for _, l := range n.Links {
		m.sizes[l.CID] = l.Tsize
	}
	m.node = true
	return nil
}

func (m *memory) Progress() (done, total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c, size := range m.sizes {
		total += size
		if m.have[c] {
			done += size
		}
	}
	return done, total
}

func (m *memory) Finish(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.have) != len(m.sizes) || !m.node {
		return errors.New("not whole")
	}
	m.whole = true
	return nil
}

func (m *memory) Close() error { m.closed = true; return nil }

// start returns a network without peers, a Fetcher on it, and its store.
func start(t testing.TB) (*fake, *Fetcher, *memory) {
	t.Helper()
	z, err := wire.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	n, m := &fake{Network: routingtest.New(t)}, &memory{}
	return n, New(&Options{Network: n, Store: m, Codec: z, Log: slog.New(slog.DiscardHandler)}), m
}
