package cid_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	chunk "github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	ipfscid "github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"github.com/MordragT/nuka/pir/cid"
)

var builder = ipfscid.V1Builder{Codec: ipfscid.DagProtobuf, MhType: multihash.BLAKE3, MhLength: 32}

func newDAG() ipld.DAGService {
	bs := blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore()))
	return merkledag.NewDAGService(blockservice.New(bs, offline.Exchange(bs)))
}

// boxoFile imports a file with boxo. Boxo's layout drops the mode of an executable of one leaf,
// so for that case boxoFile assembles the node from boxo's parts.
func boxoFile(t *testing.T, dag ipld.DAGService, data []byte, exec bool) ipld.Node {
	t.Helper()
	p := helpers.DagBuilderParams{Maxlinks: 1024, RawLeaves: true, CidBuilder: builder, Dagserv: dag}
	if exec {
		p.FileMode = 0o555
	}
	db, err := p.New(chunk.NewSizeSplitter(bytes.NewReader(data), 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	nd, err := balanced.Layout(db)
	if err != nil {
		t.Fatal(err)
	}
	if _, raw := nd.(*merkledag.RawNode); !raw || !exec {
		return nd
	}
	over := db.NewFSNodeOverDag(unixfs.TFile)
	if len(data) > 0 {
		if err := over.AddChild(nd, uint64(len(data)), db); err != nil {
			t.Fatal(err)
		}
	}
	over.SetMode(0o555)
	nd, err = over.Commit()
	if err != nil {
		t.Fatal(err)
	}
	if err := dag.Add(context.Background(), nd); err != nil {
		t.Fatal(err)
	}
	return nd
}

func pattern(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := 0; i < n; i += 8 {
		v := r.Uint64()
		for j := i; j < min(i+8, n); j++ {
			b[j] = byte(v)
			v >>= 8
		}
	}
	return b
}

func TestFileAsBoxo(t *testing.T) {
	for _, size := range []int{0, 1, 255, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3 << 20, 5<<20 + 17} {
		for _, exec := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d/exec=%t", size, exec), func(t *testing.T) {
				data := pattern(size)
				dag := newDAG()
				want := boxoFile(t, dag, data, exec)
				b := cid.NewFile(exec)
				for rest := data; len(rest) > 0; { // odd lengths
					n := min(len(rest), 77_777)
					b.Write(rest[:n])
					rest = rest[n:]
				}
				got, n, nodes, leaves := b.Finish()
				if got.String() != want.Cid().String() || n != int64(size) {
					t.Errorf("got %s of %d bytes, want %s of %d", got, n, want.Cid(), size)
				}
				wantSize, err := want.Size()
				if err != nil {
					t.Fatal(err)
				}
				if ts := cid.Tsize(n, nodes); uint64(ts) != wantSize {
					t.Errorf("got total size %d, want %d", ts, wantSize)
				}
				if ts := cid.FileTsize(n, exec); uint64(ts) != wantSize {
					t.Errorf("by the size alone: got total size %d, want %d", ts, wantSize)
				}
				for i, l := range leaves {
					if s := cid.Sum(cid.Raw, data[l.Offset:l.Offset+l.Size]); s != l.CID {
						t.Errorf("leaf %d: got %s, want %s", i, l.CID, s)
					}
				}
				for _, nd := range nodes {
					checkBlock(t, nd)
				}
				whole := cid.NewFile(exec)
				whole.Write(data)
				if c, _, _, _ := whole.Finish(); c != got {
					t.Errorf("written at once: got %s, want %s", c, got)
				}
				if c, _ := cid.FileNodes(leaves, exec); c != got {
					t.Errorf("FileNodes: got %s, want %s", c, got)
				}
				r, err := uio.NewDagReader(context.Background(), want, dag)
				if err != nil {
					t.Fatal(err)
				}
				back := new(bytes.Buffer)
				if _, err := back.ReadFrom(r); err != nil || !bytes.Equal(back.Bytes(), data) {
					t.Errorf("boxo reads other bytes back (%v)", err)
				}
			})
		}
	}
}

// TestManyLeavesAsBoxo compares files of more than 1024 and more than 1024² leaves; their leaves are CIDs without bytes.
func TestManyLeavesAsBoxo(t *testing.T) {
	for _, n := range []int{1024, 1025, 2048, 2049, 1024*1024 + 1} {
		if n > 5000 && testing.Short() {
			continue
		}
		dag := discardDAG{}
		digest := cid.Sum(cid.Raw, make([]byte, 1<<20)).Digest()
		b := cid.NewFile(true)
		for range n {
			b.AddLeaf(digest, 1<<20)
		}
		got, size, nodes, _ := b.Finish()
		if ts := cid.FileTsize(size, true); ts != cid.Tsize(size, nodes) {
			t.Errorf("%d leaves: got total size %d, want %d", n, ts, cid.Tsize(size, nodes))
		}
		p := helpers.DagBuilderParams{Maxlinks: 1024, RawLeaves: true, CidBuilder: builder, Dagserv: dag, FileMode: 0o555}
		db, err := p.New(&zeros{left: n, block: make([]byte, 1<<20)})
		if err != nil {
			t.Fatal(err)
		}
		if n > 5000 {
			// Hashing a TiB is too slow: check the shape alone.
			if len(nodes) != 1024+2+1+1 {
				t.Errorf("%d leaves: got %d nodes", n, len(nodes))
			}
			continue
		}
		want, err := balanced.Layout(db)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != want.Cid().String() || size != int64(n)<<20 {
			t.Errorf("%d leaves: got %s, want %s", n, got, want.Cid())
		}
	}
}

func TestSymlinkAsBoxo(t *testing.T) {
	for _, target := range []string{"a", "../x/y", "/nuka/store/ü"} {
		data, err := unixfs.SymlinkData(target)
		if err != nil {
			t.Fatal(err)
		}
		nd := merkledag.NodeWithData(data)
		nd.SetCidBuilder(builder)
		got, b := cid.Symlink(target)
		if got.String() != nd.Cid().String() {
			t.Errorf("link to %s: got %s, want %s", target, got, nd.Cid())
		}
		checkBlock(t, b)
	}
}

func TestDirAsBoxo(t *testing.T) {
	short := func(i int) string { return fmt.Sprintf("file%d", i) }
	long := func(i int) string { return fmt.Sprintf("%0240d", i*7919) }
	for _, tt := range []struct {
		name  string
		n     int
		entry func(int) string
	}{
		{"empty", 0, short}, {"one", 1, short}, {"thousand", 1000, short},
		{"last basic", 0, long}, {"first hamt", 1, long}, {"hamt", 20_000, short},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.n > 5000 && testing.Short() {
				t.Skip("boxo takes long")
			}
			ctx := context.Background()
			dag := newDAG()
			d, err := uio.NewDirectory(dag, uio.WithCidBuilder(builder), uio.WithSizeEstimationMode(uio.SizeEstimationBlock))
			if err != nil {
				t.Fatal(err)
			}
			d.SetHAMTShardingSize(1 << 20)
			n := tt.n
			if tt.name == "last basic" || tt.name == "first hamt" {
				for size := 4; size <= 1<<20; n++ { // the entries exceed the limit by one or fill it exactly
					size += 3 + 2 + 36 + 3 + 240 + 2
				}
				n += tt.n - 1
			}
			nd := boxoFile(t, dag, []byte("x"), false)
			exec := boxoFile(t, dag, []byte("x"), true)
			var entries []cid.DirEntry
			for i := range n {
				child := nd
				if i%3 == 0 {
					child = exec
				}
				if err := d.AddChild(ctx, tt.entry(i), child); err != nil {
					t.Fatal(err)
				}
				size, _ := child.Size()
				c, err := cid.Parse(child.Cid().String())
				if err != nil {
					t.Fatal(err)
				}
				entries = append(entries, cid.DirEntry{Name: tt.entry(i), CID: c, Tsize: int64(size)})
			}
			want, err := d.GetNode()
			if err != nil {
				t.Fatal(err)
			}
			got, blocks, err := cid.Dir(entries)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != want.Cid().String() {
				t.Errorf("%d entries: got %s, want %s", n, got, want.Cid())
			}
			_, basic := d.(*uio.DynamicDirectory).Directory.(*uio.BasicDirectory)
			if (len(blocks) == 1) != basic {
				t.Errorf("%d entries: got %d blocks, boxo basic %t", n, len(blocks), basic)
			}
			var tsize int64
			for _, e := range entries {
				tsize += e.Tsize
			}
			size, _ := want.Size()
			if got := cid.Tsize(tsize, blocks); got != int64(size) {
				t.Errorf("got total size %d, want %d", got, size)
			}
			for _, b := range blocks {
				checkBlock(t, b)
			}
			checkShardPaths(t, got, blocks, entries)
		})
	}
}

func checkShardPaths(t *testing.T, root cid.CID, blocks []cid.Block, entries []cid.DirEntry) {
	t.Helper()
	if len(blocks) == 1 {
		return
	}
	byCID := map[cid.CID]*cid.Node{}
	for _, b := range blocks {
		byCID[b.CID], _ = cid.Decode(b.Data)
	}
	for _, e := range entries {
		at, found := root, false
	path:
		for _, prefix := range cid.ShardPath(e.Name) {
			for _, l := range byCID[at].Links {
				if l.Name == prefix {
					at = l.CID
					continue path
				}
				found = found || l.Name == prefix+e.Name
			}
			break
		}
		if !found {
			t.Fatalf("%s is not where its hash says", e.Name)
		}
	}
}

func checkBlock(t *testing.T, b cid.Block) {
	t.Helper()
	if got := cid.Sum(cid.DagPB, b.Data); got != b.CID {
		t.Errorf("block %s has digest %s", b.CID, got)
	}
	n, err := cid.Decode(b.Data)
	if err != nil {
		t.Fatalf("decode own block: %v", err)
	}
	if diff := cmp.Diff(b.Data, n.Encode()); diff != "" {
		t.Errorf("encode after decode (-want +got):\n%s", diff)
	}
}

// zeros is a splitter that yields the same block again and again.
type zeros struct {
	left  int
	block []byte
}

func (z *zeros) NextBytes() ([]byte, error) {
	if z.left == 0 {
		return nil, io.EOF
	}
	z.left--
	return z.block, nil
}

func (z *zeros) Reader() io.Reader { return nil }

// A discardDAG discards the nodes that are added to it.
type discardDAG struct{ ipld.DAGService }

func (discardDAG) Add(context.Context, ipld.Node) error { return nil }
