package castest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/receive"
	"github.com/MordragT/nuka/pir/cid"
)

// A Receiver is a store that receives trees block by block.
type Receiver interface {
	Receive(ctx context.Context, root cid.CID, o *receive.Options) (*receive.Receiving, error)
}

// Blocks returns the bytes of blocks, as a peer would.
type Blocks interface {
	Block(ctx context.Context, c cid.CID) ([]byte, error)
}

// Peer returns a Model with one tree, and the root of the tree.
func Peer(tree fs.FS) (*Model, cid.CID) {
	m := NewModel()
	root, err := m.Import(context.Background(), tree, nil)
	if err != nil {
		panic(err) // the tree is invalid
	}
	return m, root
}

// Feed puts up to n wanted blocks in random order, mixed with wrong and repeated ones.
// It reports whether the tree is complete.
func Feed(r *receive.Receiving, from Blocks, rnd *rand.Rand, n int) (complete bool, err error) {
	ctx := context.Background()
	for {
		want := r.WantNodes()
		if len(want) == 0 {
			for _, l := range r.WantLeaves() {
				want = append(want, l.CID)
			}
		}
		if len(want) == 0 {
			return true, nil
		}
		rnd.Shuffle(len(want), func(i, j int) { want[i], want[j] = want[j], want[i] })
		for _, c := range want {
			if n--; n < 0 {
				return false, nil
			}
			b, err := from.Block(ctx, c)
			if err != nil {
				return false, err
			}
			if err := feedOne(r, cid.Block{CID: c, Data: b}, rnd); err != nil {
				return false, err
			}
		}
	}
}

func feedOne(r *receive.Receiving, b cid.Block, rnd *rand.Rand) error {
	if rnd.IntN(4) == 0 {
		wrong := append([]byte{}, b.Data...)
		if len(wrong) == 0 || rnd.IntN(2) == 0 {
			wrong = append(wrong, 0)
		} else {
			wrong[rnd.IntN(len(wrong))] ^= 1 << rnd.IntN(8)
		}
		if err := r.Put(cid.Block{CID: b.CID, Data: wrong}); !errors.Is(err, receive.ErrWrongBlock) && (err != nil || isWanted(r, b.CID)) {
			return fmt.Errorf("wrong bytes for %s: got %v", b.CID, err)
		}
		wrong = append(wrong, "nobody has this"...)
		other := cid.Block{CID: cid.Sum(b.CID.Codec(), wrong), Data: wrong}
		if err := r.Put(other); !errors.Is(err, receive.ErrUnwanted) {
			return fmt.Errorf("unwanted %s: got %v", other.CID, err)
		}
	}
	data := append([]byte{}, b.Data...)
	put := r.Put
	if rnd.IntN(2) == 0 {
		put = r.PutCompared
	}
	if err := put(cid.Block{CID: b.CID, Data: data}); err != nil {
		return err
	}
	clear(data) // Put must not keep it
	if rnd.IntN(4) == 0 {
		return r.Put(b)
	}
	return nil
}

// isWanted reports whether a block is still missing: another caller may have put it.
func isWanted(r *receive.Receiving, c cid.CID) bool {
	return slices.Contains(r.WantNodes(), c) || slices.ContainsFunc(r.WantLeaves(), func(l cid.Leaf) bool { return l.CID == c })
}

// Receive receives a tree into a store as from a peer. It sometimes closes the receiving and begins it again.
func Receive(s Receiver, from Blocks, root cid.CID, rnd *rand.Rand) error {
	ctx := context.Background()
	for {
		r, err := s.Receive(ctx, root, nil)
		if err != nil {
			return err
		}
		n := 1 << 20
		if rnd.IntN(2) == 0 {
			n = rnd.IntN(20)
		}
		complete, err := Feed(r, from, rnd, n)
		if err == nil && complete {
			return r.Finish(ctx)
		}
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
}

// testReceive checks that a tree received block by block equals the tree that another store imported.
func testReceive(t *testing.T, s Store) {
	to, ok := s.(Receiver)
	if !ok {
		t.Skip("the store takes in whole trees only")
	}
	file := fstest.MapFS{"file": {Data: []byte("alone")}}
	for i, tree := range []fs.FS{Tree(), WideTree(), fstest.MapFS{}, Tree(), file} {
		peer, root := Peer(tree)
		if err := Receive(to, peer, root, rand.New(rand.NewPCG(uint64(i), 8))); err != nil {
			t.Fatal(err)
		}
		CheckTree(t, s, root, tree)
	}
	// A root can also be a file of one leaf.
	leaf, data := cid.Sum(cid.Raw, []byte("a file")), []byte("a file")
	r, err := to.Receive(context.Background(), leaf, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Put(cid.Block{CID: leaf, Data: data}), r.Finish(context.Background())); err != nil {
		t.Fatal(err)
	}
	if got, err := s.ReadFile(context.Background(), leaf); err != nil || string(got) != string(data) {
		t.Errorf("got %q, %v", got, err)
	}
}

// testGive checks that Block returns the blocks received so far if no node is missing, and no others.
func testGive(t *testing.T, s Store) {
	to, ok := s.(Receiver)
	if !ok {
		t.Skip("the store takes in whole trees only")
	}
	ctx := context.Background()
	peer, root := Peer(Tree())
	told := map[cid.CID]bool{}
	r, err := to.Receive(ctx, root, &receive.Options{Coming: func(blocks []cid.CID) {
		for _, c := range blocks {
			told[c] = true
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	put := func(c cid.CID) {
		t.Helper()
		b, err := peer.Block(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Put(cid.Block{CID: c, Data: b}); err != nil {
			t.Fatal(err)
		}
	}
	given := func(c cid.CID, want bool, when string) {
		t.Helper()
		got, err := s.Block(ctx, c)
		if err != nil && (want || !errors.Is(err, cas.ErrNotFound)) || err == nil && !want {
			t.Fatalf("%s: block %s: got %v, want it: %v", when, c, err, want)
		}
		if b, _ := peer.Block(ctx, c); want && !bytes.Equal(got, b) {
			t.Errorf("%s: block %s has other bytes", when, c)
		}
		if !told[c] {
			t.Errorf("%s: block %s came untold", when, c)
		}
	}
	var nodes []cid.CID
	for want := r.WantNodes(); len(want) > 0; want = r.WantNodes() {
		nodes = append(nodes, want...)
		for _, c := range want {
			given(c, false, "while nodes are missing")
			put(c)
		}
	}
	leaves := r.WantLeaves()
	if len(nodes) == 0 || len(leaves) < 2 {
		t.Fatalf("got %d nodes and %d leaves, want more", len(nodes), len(leaves))
	}
	for i, l := range leaves {
		given(l.CID, false, "before it came")
		put(l.CID)
		given(l.CID, true, "when it had come")
		if i == len(leaves)/2 {
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			given(l.CID, false, "after Close")
			if r, err = to.Receive(ctx, root, nil); err != nil {
				t.Fatal(err)
			}
			given(l.CID, true, "after another Receive")
		}
	}
	for _, c := range nodes {
		given(c, true, "when all was here")
	}
	if ok, err := s.Has(root); ok || err != nil {
		t.Errorf("has: got %v, %v before Finish", ok, err)
	}
	if err := r.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	for _, l := range leaves {
		given(l.CID, true, "after Finish")
	}
}
