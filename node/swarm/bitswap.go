package swarm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	bitswappb "github.com/ipfs/boxo/bitswap/message/pb"
	bitswapnet "github.com/ipfs/boxo/bitswap/network"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/bitswap/server"
	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	gocid "github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	p2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multihash"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

const (
	// bitswapQueue is how many wants of a peer are kept. Clients that ask for a whole tree at once wait a minute for what is more.
	bitswapQueue = 1 << 16
	// bitswapWorkers is how many blocks are read, and how many messages are sent, at a time.
	bitswapWorkers = 4
	// bitswapWait is how long a peer may take beside the time that the blocks it gives buy, at bitswapRate bytes a second. Of a block
	// nothing is seen before all of it is here, so the largest one is allowed for.
	bitswapWait, bitswapRate = 15 * time.Second, 16 << 10
	// bitswapAgain is how long a peer may say nothing until it is asked again: one whose streams are all in use resets the next, and the
	// message is lost. A peer that has begun to answer ignores the second message.
	bitswapAgain = 5 * time.Second
	// usualNode is how large nodes are taken to be, whose sizes are not known.
	usualNode = 256 << 10
	// mayRemember is how many decisions about who may have a block are remembered, and mayTime for how long.
	mayRemember, mayTime = 1 << 15, time.Minute
)

// A bitswap speaks the protocol of the same name, in which any IPFS client can ask for blocks: under its usual ids and
// under the swarm's prefix. To others it is a server; as a client it asks one peer at a time, and nobody is told what is
// wanted who was not chosen.
type bitswap struct {
	s       *Swarm
	nets    []bitswapnet.BitSwapNetwork // the one with the usual ids last
	servers []*server.Server

	mu    sync.Mutex
	may   map[gocid.Cid]decision
	asked map[peer.ID]*order
}

// A decision is whether everybody may have a block.
type decision struct {
	may   bool
	until time.Time
}

// An order is what one peer was asked for.
type order struct {
	wanted map[gocid.Cid]bool
	came   chan received
}

// received is a block, or the word that there is none.
type received struct {
	cid  gocid.Cid
	data []byte
}

// newBitswap begins to serve. A mesh is not spoken with under the usual ids.
func newBitswap(ctx context.Context, s *Swarm, h host.Host) *bitswap {
	b := &bitswap{s: s, may: map[gocid.Cid]decision{}, asked: map[peer.ID]*order{}}
	prefixes := []string{s.o.Prefix}
	if s.o.Admit == nil {
		prefixes = append(prefixes, "")
	}
	for _, prefix := range prefixes {
		net := bsnet.NewFromIpfsHost(h, bsnet.Prefix(p2pprotocol.ID(prefix)))
		srv := server.New(ctx, net, store{s: s},
			server.MaxQueuedWantlistEntriesPerPeer(bitswapQueue), server.WithPeerBlockRequestFilter(b.mayHave),
			server.TaskWorkerCount(bitswapWorkers), server.EngineTaskWorkerCount(bitswapWorkers),
			server.EngineBlockstoreWorkerCount(bitswapWorkers), server.WithTargetMessageSize(256<<10))
		net.Start(&receiver{Server: srv, b: b})
		b.nets, b.servers = append(b.nets, net), append(b.servers, srv)
	}
	return b
}

// close ends all that newBitswap has begun.
func (b *bitswap) close() {
	for i, net := range b.nets {
		net.Stop()
		b.servers[i].Close()
	}
}

// mayHave says whether a peer may have a block. Peers on private addresses are asked about when the block is read.
func (b *bitswap) mayHave(id peer.ID, c gocid.Cid) bool {
	conns := b.s.host.Network().ConnsToPeer(id)
	if len(conns) > 0 && isLocal(conns[0].RemoteMultiaddr()) {
		return true
	}
	now := time.Now()
	b.mu.Lock()
	d, ok := b.may[c]
	b.mu.Unlock()
	if ok && now.Before(d.until) {
		return d.may
	}
	_, err := store{s: b.s, public: true}.Get(context.Background(), c)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.may) >= mayRemember {
		clear(b.may)
	}
	b.may[c] = decision{err == nil, now.Add(mayTime)}
	return err == nil
}

// A receiver takes in messages, for the server and for what was asked for.
type receiver struct {
	*server.Server
	b *bitswap
}

func (r *receiver) ReceiveMessage(ctx context.Context, from peer.ID, m message.BitSwapMessage) {
	r.b.mu.Lock()
	o := r.b.asked[from]
	if o != nil {
		for _, blk := range m.Blocks() {
			o.take(blk.Cid(), blk.RawData())
		}
		for _, c := range m.DontHaves() {
			o.take(c, nil)
		}
	}
	r.b.mu.Unlock()
	r.Server.ReceiveMessage(ctx, from, m)
}

// take takes what was asked for and has not come; there is room for it.
func (o *order) take(c gocid.Cid, data []byte) {
	if o.wanted[c] {
		delete(o.wanted, c)
		o.came <- received{c, data}
	}
}

// get asks a peer for blocks, at most MaxAsked and each of so many bytes as a rule, and gives each that comes to take; nil data says
// that the peer has none. Whether the data is what was asked for has been compared by bitswap, which names blocks by their hash.
func (b *bitswap) get(ctx context.Context, id peer.ID, list []cid.CID, size int64, take func(cid.CID, []byte) error) error {
	o := &order{wanted: map[gocid.Cid]bool{}, came: make(chan received, len(list))}
	back := map[gocid.Cid]cid.CID{}
	for _, c := range list {
		g := toIPFS(c)
		o.wanted[g], back[g] = true, c
	}
	b.mu.Lock()
	if b.asked[id] != nil {
		b.mu.Unlock()
		return fmt.Errorf("%s is being asked already", id)
	}
	b.asked[id] = o
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.asked, id)
		b.mu.Unlock()
	}()
	ask := func() error {
		msg := message.New(false)
		b.mu.Lock()
		for g := range o.wanted {
			msg.AddEntry(g, 1, bitswappb.Message_Wantlist_Block, true)
		}
		b.mu.Unlock()
		ctx, cancel := context.WithTimeout(ctx, bitswapWait)
		defer cancel()
		return b.send(ctx, id, msg)
	}
	if err := ask(); err != nil {
		return err
	}
	again := time.NewTicker(bitswapAgain)
	defer again.Stop()
	until := time.Now().Add(bitswapWait + duration(size, bitswapRate))
	wait := time.NewTimer(time.Until(until))
	defer wait.Stop()
	for n := 0; n < len(list); n++ {
		select {
		case <-again.C:
			if err := ask(); err != nil {
				return err
			}
			n-- // nothing came
		case r := <-o.came:
			again.Reset(bitswapAgain)
			if err := take(back[r.cid], r.data); err != nil {
				return err
			}
			until = until.Add(duration(int64(len(r.data)), bitswapRate))
			wait.Reset(time.Until(until))
		case <-wait.C:
			return errStalled
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// send sends a message under whatever ids the peer knows.
func (b *bitswap) send(ctx context.Context, id peer.ID, msg message.BitSwapMessage) error {
	var errs []error
	for i := len(b.nets) - 1; i >= 0; i-- {
		err := b.nets[i].SendMessage(ctx, id, msg)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// speaksBitswap says whether a peer can be asked by bitswap.
func (s *Swarm) speaksBitswap(id peer.ID) bool {
	spoken, err := s.host.Peerstore().SupportsProtocols(id, bsnet.ProtocolBitswap, s.protocol(string(bsnet.ProtocolBitswap)))
	return err == nil && len(spoken) > 0
}

func toIPFS(c cid.CID) gocid.Cid {
	digest := c.Digest()
	h, err := multihash.Encode(digest[:], multihash.BLAKE3)
	if err != nil {
		panic("swarm: " + err.Error()) // its length is right
	}
	return gocid.NewCidV1(c.Codec(), h)
}

// fromIPFS returns a name under which the bytes of a CID of IPFS may be here. Its codec, whichever it is, says how somebody reads them,
// not which they are.
func fromIPFS(g gocid.Cid) (cid.CID, bool) {
	h, err := multihash.Decode(g.Hash())
	if err != nil || h.Code != multihash.BLAKE3 || h.Length != len([32]byte{}) {
		return cid.CID{}, false
	}
	codec := cid.DagPB
	if g.Type() == cid.Raw {
		codec = cid.Raw
	}
	c, err := cid.New(codec, [32]byte(h.Digest))
	return c, err == nil
}

// A store is the system as bitswap sees it: what it may not give is not there.
type store struct {
	s      *Swarm
	public bool // for everybody; otherwise for peers on private addresses
}

var _ blockstore.Blockstore = store{}

func (b store) Get(ctx context.Context, g gocid.Cid) (blocks.Block, error) {
	c, ok := fromIPFS(g)
	if !ok {
		return nil, ipld.ErrNotFound{Cid: g}
	}
	data, err := block(ctx, b.s.o.System, c, Asker{Private: !b.public})
	if err != nil {
		return nil, ipld.ErrNotFound{Cid: g}
	}
	if b.s.up != nil && !b.public {
		if err := b.s.up.WaitN(ctx, len(data)); err != nil {
			return nil, err
		}
	}
	return blocks.NewBlockWithCid(data, g)
}

func (b store) GetSize(ctx context.Context, g gocid.Cid) (int, error) {
	c, ok := fromIPFS(g)
	if !ok {
		return 0, ipld.ErrNotFound{Cid: g}
	}
	data, err := block(ctx, b.s.o.System, c, Asker{Private: true})
	if err != nil {
		return 0, ipld.ErrNotFound{Cid: g}
	}
	return max(1, len(data)), nil // boxo takes 0 for a block that is not here, and an empty file is one
}

func (b store) Has(ctx context.Context, g gocid.Cid) (bool, error) {
	_, err := b.GetSize(ctx, g)
	return err == nil, nil
}

var errReadOnly = errors.New("blocks are not stored this way")

func (store) DeleteBlock(context.Context, gocid.Cid) error          { return errReadOnly }
func (store) Put(context.Context, blocks.Block) error               { return errReadOnly }
func (store) PutMany(context.Context, []blocks.Block) error         { return errReadOnly }
func (store) AllKeysChan(context.Context) (<-chan gocid.Cid, error) { return nil, errReadOnly }

// nodesByBitswap brings the nodes from a peer that speaks nothing else.
func (f *fetch) nodesByBitswap(ctx context.Context, m *member) error {
	b := f.s.bitswap.Load()
	for b != nil {
		f.mu.Lock()
		var roots []cid.CID
		for c := range f.nodes.wanted {
			if len(roots) < protocol.MaxAsked {
				roots = append(roots, c)
			}
		}
		f.mu.Unlock()
		if len(roots) == 0 {
			return nil
		}
		if err := b.get(ctx, m.id, roots, usualNode, func(c cid.CID, data []byte) error {
			if data == nil {
				return errPart
			}
			m.took(len(data))
			_, _, err := f.node(ctx, c, data)
			return err
		}); err != nil {
			return err
		}
		f.mu.Lock()
		f.refresh()
		f.mu.Unlock()
	}
	return errors.New("the swarm does not run")
}

// leavesByBitswap brings leaves from such a peer, one window after the other.
func (f *fetch) leavesByBitswap(ctx context.Context, h *holder) error {
	b := f.s.bitswap.Load()
	if b == nil {
		return errors.New("the swarm does not run")
	}
	w, m := f.begin(h, nil), h.m
	defer func() {
		f.mu.Lock()
		f.leaves.leave(w)
		f.mu.Unlock()
	}()
	for {
		window := w.next()
		if window == nil {
			return w.err
		}
		came := map[cid.CID][]byte{}
		list := make([]cid.CID, len(window))
		largest := int64(0)
		for i, leaf := range window {
			list[i], largest = f.leaves.leaves[leaf].CID, max(largest, f.leaves.leaves[leaf].Size)
		}
		if largest == 0 {
			largest = cid.LeafSize // of a root that is a leaf
		}
		err := b.get(ctx, m.id, list, largest, func(c cid.CID, data []byte) error {
			if data != nil {
				came[c] = data
				w.bytes.Add(int64(len(data)))
				m.took(len(data))
			}
			return nil
		})
		if err != nil {
			return err
		}
		part := newBatch()
		for i, leaf := range window {
			data, ok := came[list[i]]
			begin := len(part.buf)
			part.buf = append(part.buf, data...)
			part.items = append(part.items, item{leaf: leaf, begin: begin, end: begin + len(data), missing: !ok})
			err = errors.Join(err, w.compare(part))
		}
		w.put(part)
		part.free()
		if err != nil {
			return err
		}
	}
}
