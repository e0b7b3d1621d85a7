package peers

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

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir/cid"
)

const (
	// bitswapQueue is the largest number of wants that are kept of one peer. A client that asks for a whole tree at once waits a minute
	// for the blocks beyond it.
	bitswapQueue = 1 << 16
	// bitswapWorkers is how many blocks are read at a time, and how many messages are sent.
	bitswapWorkers = 4
	// bitswapWait is how long a peer may take beside the time that its blocks buy, at bitswapRate bytes a second. A block becomes
	// visible only when all of it has arrived, so the time of the largest one is added.
	bitswapWait, bitswapRate = 15 * time.Second, 16 << 10
	// bitswapAgain is after how much silence a peer is asked again: a peer whose streams are all in use resets the next one, and the
	// message is lost. A peer that has begun to answer ignores the second message.
	bitswapAgain = 5 * time.Second
	// mayRemember is how many decisions about whether everybody may have a block are remembered, and mayTime for how long.
	mayRemember, mayTime = 1 << 15, time.Minute
)

// A bitswap speaks the protocol of the same name, in which any IPFS client can ask for blocks, under its usual ids and under the swarm's
// prefix. It serves everybody. As a client it sends wants only to the peer that get names.
type bitswap struct {
	h       *Host
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

// An order is what one peer has been asked for.
type order struct {
	wanted map[gocid.Cid]bool
	came   chan received
}

// received is a block, or a message that the peer does not have it: nil data.
type received struct {
	cid  gocid.Cid
	data []byte
}

// newBitswap begins to serve. In a mesh it does so under the prefix only.
func newBitswap(ctx context.Context, h *Host, guarded host.Host) *bitswap {
	b := &bitswap{h: h, may: map[gocid.Cid]decision{}, asked: map[peer.ID]*order{}}
	prefixes := []string{h.o.Prefix}
	if h.o.Admit == nil {
		prefixes = append(prefixes, "")
	}
	for _, prefix := range prefixes {
		net := bsnet.NewFromIpfsHost(guarded, bsnet.Prefix(p2pprotocol.ID(prefix)))
		srv := server.New(ctx, net, store{h: h},
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

// mayHave reports whether a peer may have a block. For peers on private addresses store.Get decides.
func (b *bitswap) mayHave(id peer.ID, c gocid.Cid) bool {
	conns := b.h.host.Network().ConnsToPeer(id)
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
	_, err := store{h: b.h, public: true}.Get(context.Background(), c)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.may) >= mayRemember {
		clear(b.may)
	}
	b.may[c] = decision{err == nil, now.Add(mayTime)}
	return err == nil
}

// A receiver hands messages to the server, and their blocks to the orders.
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

// take records an answer to the order; others are dropped. The channel has room for it.
func (o *order) take(c gocid.Cid, data []byte) {
	if o.wanted[c] {
		delete(o.wanted, c)
		o.came <- received{c, data}
	}
}

// Blocks asks a peer for at most MaxAsked blocks by Bitswap, and calls take for each answer; nil data says that the peer does not have
// the block. Size is the largest size of one of them. Bitswap names blocks by their hash, so the data needs no comparison.
// A peer that runs out of time is routing.ErrStalled.
func (h *Host) Blocks(ctx context.Context, p *routing.Peer, list []cid.CID, size int64, take func(cid.CID, []byte) error) error {
	b := h.bitswap.Load()
	if b == nil {
		return errors.New("the swarm does not run")
	}
	id, err := idOf(p.Key)
	if err != nil {
		return err
	}
	return b.get(ctx, id, list, size, take)
}

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
		return fmt.Errorf("peer %s: another request is in flight", id)
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
	until := time.Now().Add(bitswapWait + timeFor(size))
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
			until = until.Add(timeFor(int64(len(r.data))))
			wait.Reset(time.Until(until))
		case <-wait.C:
			return routing.ErrStalled
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// timeFor is how much time so many bytes buy.
func timeFor(size int64) time.Duration { return time.Duration(size) * time.Second / bitswapRate }

// send sends a message under whichever ids the peer speaks.
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

// SpeaksBitswap reports whether a connected peer has said that it speaks Bitswap.
func (h *Host) SpeaksBitswap(p *routing.Peer) bool {
	id, err := idOf(p.Key)
	if err != nil {
		return false
	}
	spoken, err := h.host.Peerstore().SupportsProtocols(id, bsnet.ProtocolBitswap, h.protocol(string(bsnet.ProtocolBitswap)))
	return err == nil && len(spoken) > 0
}

func toIPFS(c cid.CID) gocid.Cid {
	digest := c.Digest()
	h, err := multihash.Encode(digest[:], multihash.BLAKE3)
	if err != nil {
		panic("peers: " + err.Error()) // its length is right
	}
	return gocid.NewCidV1(c.Codec(), h)
}

// fromIPFS returns a CID under which the store may have the bytes of a CID of IPFS. Any codec is accepted: it says how the requester
// reads the bytes, not which they are.
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

// A store is Options.Block as Bitswap's server sees it: a block that the peer may not have does not exist.
type store struct {
	h      *Host
	public bool // for everybody; otherwise for peers on private addresses
}

var _ blockstore.Blockstore = store{}

// block returns a block that the peers of the store may have.
func (b store) block(ctx context.Context, g gocid.Cid, private bool) ([]byte, error) {
	c, ok := fromIPFS(g)
	if !ok || b.h.o.Block == nil {
		return nil, ipld.ErrNotFound{Cid: g}
	}
	data, err := b.h.o.Block(ctx, c, routing.Requester{Private: private})
	if err != nil {
		return nil, ipld.ErrNotFound{Cid: g}
	}
	return data, nil
}

func (b store) Get(ctx context.Context, g gocid.Cid) (blocks.Block, error) {
	data, err := b.block(ctx, g, !b.public)
	if err != nil {
		return nil, err
	}
	if b.h.o.Upload != nil && !b.public {
		if err := b.h.o.Upload.WaitN(ctx, len(data)); err != nil {
			return nil, err
		}
	}
	return blocks.NewBlockWithCid(data, g)
}

func (b store) GetSize(ctx context.Context, g gocid.Cid) (int, error) {
	data, err := b.block(ctx, g, true)
	if err != nil {
		return 0, err
	}
	return max(1, len(data)), nil // boxo takes 0 for a block that does not exist, and an empty file is one
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
