package swarm

import (
	"bufio"
	"bytes"
	"context"
	"io/fs"
	"testing"
	"time"

	boxo "github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/ipld/merkledag"
	blocks "github.com/ipfs/go-block-format"
	gocid "github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	p2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// ipfs is a client and server that knows nothing of nuka: boxo with its own host and its defaults.
func ipfs(t *testing.T, b blockstore.Blockstore, more ...libp2p.Option) (host.Host, *boxo.Bitswap) {
	h, err := libp2p.New(append(more, libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics())...)
	if err != nil {
		t.Fatal(err)
	}
	bs := boxo.New(t.Context(), bsnet.NewFromIpfsHost(h), nil, b)
	t.Cleanup(func() {
		bs.Close()
		h.Close()
	})
	return h, bs
}

func emptyStore() blockstore.Blockstore {
	return blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore()))
}

func info(t *testing.T, s *Swarm) peer.AddrInfo {
	return peer.AddrInfo{ID: hostOf(s).ID(), Addrs: hostOf(s).Addrs()}
}

func TestServeBitswap(t *testing.T) {
	there := newMemory()
	root := there.tree(t, 30, 100_000)
	empty := there.file("empty", []byte{}).CID
	secret := there.file("secret", []byte("not for others")).CID
	there.give = func(_ context.Context, c cid.CID, b []byte, to routing.Requester) ([]byte, error) {
		if b == nil || c == secret {
			return nil, fs.ErrNotExist
		}
		return b, nil
	}
	s := start(t, 1, there, nil)
	kept := emptyStore()
	h, bs := ipfs(t, kept)
	if err := h.Connect(t.Context(), info(t, s)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	dag := merkledag.NewDAGService(blockservice.New(kept, bs))
	if err := merkledag.FetchGraph(ctx, toIPFS(root), dag); err != nil {
		t.Fatal(err)
	}
	if b, err := bs.GetBlock(ctx, toIPFS(empty)); err != nil || len(b.RawData()) > 0 {
		t.Errorf("an empty file: %v, %v", b, err)
	}
	n := 0
	keys, err := kept.AllKeysChan(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range keys {
		n++
	}
	if n != 31 {
		t.Errorf("got %d blocks, want 31", n)
	}
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if b, err := bs.GetBlock(short, toIPFS(secret)); err == nil {
		t.Errorf("it gives %q away", b.RawData())
	}
}

// A Bitswap-only peer is asked when no other peer has the tree.
func TestFetchBitswap(t *testing.T) {
	there := newMemory()
	root := there.tree(t, 1200, 3000)
	kept := emptyStore()
	for c, data := range there.blocks {
		b, err := blocks.NewBlockWithCid(data, toIPFS(c))
		if err != nil {
			t.Fatal(err)
		}
		if err := kept.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	h, _ := ipfs(t, kept)
	here := newMemory()
	s := start(t, 1, here, nil)
	if err := s.Connect(t.Context(), h.Addrs()[0].String()+"/p2p/"+h.ID().String()); err != nil {
		t.Fatal(err)
	}
	if err := s.Fetch(t.Context(), root, 0, nil); err != nil {
		t.Fatal(err)
	}
	if !here.has(root) {
		t.Error("it is not here")
	}
}

// A client with Noise only, as in other languages, fetches a whole package. Nodes of nuka use TLS among themselves, and a mesh offers no
// Noise.
func TestNoise(t *testing.T) {
	there := newMemory()
	root := there.tree(t, 200, 20_000)
	s := start(t, 1, there, nil)
	kept := emptyStore()
	h, bs := ipfs(t, kept, libp2p.Security(noise.ID, noise.New))
	if err := h.Connect(t.Context(), info(t, s)); err != nil {
		t.Fatal(err)
	}
	if got := h.Network().ConnsToPeer(hostOf(s).ID())[0].ConnState().Security; got != noise.ID {
		t.Errorf("got a connection with %q", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := merkledag.FetchGraph(ctx, toIPFS(root), merkledag.NewDAGService(blockservice.New(kept, bs))); err != nil {
		t.Fatal(err)
	}
	for c, data := range there.blocks {
		if b, err := kept.Get(ctx, toIPFS(c)); err != nil || !bytes.Equal(b.RawData(), data) {
			t.Errorf("block %s: %v", c, err)
		}
	}

	// And the other way round: a node asks the client by Bitswap.
	here := newMemory()
	other := start(t, 2, here, nil)
	if err := other.Connect(ctx, h.Addrs()[0].String()+"/p2p/"+h.ID().String()); err != nil {
		t.Fatal(err)
	}
	if err := other.Fetch(ctx, root, 0, nil); err != nil || !here.has(root) {
		t.Errorf("from the client: %v", err)
	}

	connect(t, other, s)
	for _, c := range hostOf(other).Network().ConnsToPeer(hostOf(s).ID()) {
		if got := c.ConnState().Security; got != p2ptls.ID {
			t.Errorf("nodes of nuka speak %q", got)
		}
	}

	members := start(t, 3, newMemory(), func(o *Options) {
		o.Admit = func(protocol.Key, []byte) ([]byte, error) { return nil, nil }
		o.Credential = func() ([]byte, error) { return []byte("member"), nil }
	})
	if err := h.Connect(ctx, info(t, members)); err == nil {
		t.Error("a mesh speaks Noise")
	}
}

// A node serves bytes under any codec of their hash, if the peer may have them.
func TestOtherCodec(t *testing.T) {
	there := newMemory()
	root := there.tree(t, 3, 1000)
	leaf := there.file("leaf", []byte("a leaf")).CID
	secret := there.file("secret", []byte("not for others")).CID
	there.give = func(_ context.Context, c cid.CID, b []byte, _ routing.Requester) ([]byte, error) {
		if b == nil || c == secret {
			return nil, fs.ErrNotExist
		}
		return b, nil
	}
	s := start(t, 1, there, nil)
	h, bs := ipfs(t, emptyStore())
	if err := h.Connect(t.Context(), info(t, s)); err != nil {
		t.Fatal(err)
	}
	a := start(t, 2, newMemory(), nil)
	connect(t, a, s)
	for _, c := range []cid.CID{root, leaf, secret} {
		for _, codec := range []uint64{cid.Raw, cid.DagPB, gocid.DagCBOR, gocid.DagJSON, gocid.Libp2pKey} {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			if c == secret {
				ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
			}
			b, err := bs.GetBlock(ctx, gocid.NewCidV1(codec, toIPFS(c).Hash()))
			if c == secret {
				if err == nil {
					t.Errorf("codec %x: it gives %q away", codec, b.RawData())
				}
			} else if err != nil || !bytes.Equal(b.RawData(), there.blocks[c]) {
				t.Errorf("codec %x of %s: %v", codec, c, err)
			}
			cancel()
		}
		other, err := cid.New(cid.Raw+cid.DagPB-c.Codec(), c.Digest())
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range []protocol.Ask{protocol.AskBlocks, protocol.AskSmall, protocol.AskNodes} {
			st, err := a.host.Open(t.Context(), peerOf(a, s), protocol.WantProtocol)
			if err != nil {
				t.Fatal(err)
			}
			if err := protocol.WriteAsk(st, kind, [][]byte{other.Bytes()}); err != nil {
				t.Fatal(err)
			}
			e, b, err := protocol.ReadAnswer(bufio.NewReader(st), nil, protocol.MaxBlock)
			want := protocol.Plain
			switch {
			case c == secret:
				want = protocol.Missing
			case kind == protocol.AskNodes && c == root: // the root is asked for as a leaf: an end says that it is here
				want = protocol.End
			}
			if err != nil || e != want || e == protocol.Plain && !bytes.Equal(b, there.blocks[c]) {
				t.Errorf("ask %d for %s: got %d, %d bytes, %v; want %d", kind, other, e, len(b), err, want)
			}
			st.Reset(0)
		}
	}
}
