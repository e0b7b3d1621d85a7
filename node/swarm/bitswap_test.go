package swarm

import (
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
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/MordragT/nuka/pir/cid"
)

// ipfs is a client, and server, that knows nothing of nuka: boxo as it comes, with its own host.
func ipfs(t *testing.T, b blockstore.Blockstore) (host.Host, *boxo.Bitswap) {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics())
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
	return peer.AddrInfo{ID: s.host.ID(), Addrs: s.host.Addrs()}
}

func TestServeBitswap(t *testing.T) {
	there := newMemory()
	root := there.tree(t, 30, 100_000)
	empty := there.file("empty", []byte{}).CID
	secret := there.file("secret", []byte("not for others")).CID
	there.give = func(_ context.Context, c cid.CID, b []byte, to Asker) ([]byte, error) {
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

// Who speaks nothing but bitswap is asked when nobody else has it.
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
