package cas_test

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/cas/receive"
	"github.com/MordragT/nuka/pir/cid"
)

// A peer is a store that others receive from.
type peer struct {
	s    *cas.Store
	root cid.CID
	tree fs.FS
}

func newPeer(t testing.TB, tree fs.FS) peer {
	t.Helper()
	s, err := cas.Open(t.TempDir(), nil)
	must(t, err)
	t.Cleanup(func() { s.Close() }) //nolint:errcheck // nothing was left to write
	root, err := s.Import(context.Background(), tree, nil)
	must(t, err)
	return peer{s, root, tree}
}

func (p peer) block(t testing.TB, c cid.CID) cid.Block {
	t.Helper()
	b, err := p.s.Block(context.Background(), c)
	must(t, err)
	return cid.Block{CID: c, Data: b}
}

// feed puts wanted blocks in random order, up to n of them, and says whether nothing is wanted any more.
func (p peer) feed(t testing.TB, r *receive.Receiving, rnd *rand.Rand, n int) bool {
	t.Helper()
	for {
		want := r.WantNodes()
		if len(want) == 0 {
			for _, l := range r.WantLeaves() {
				want = append(want, l.CID)
			}
		}
		if len(want) == 0 {
			return true
		}
		rnd.Shuffle(len(want), func(i, j int) { want[i], want[j] = want[j], want[i] })
		for _, c := range want {
			if n--; n < 0 {
				return false
			}
			must(t, r.Put(p.block(t, c)))
		}
	}
}

func TestReceive(t *testing.T) {
	ctx := context.Background()
	p := newPeer(t, castest.Tree())
	dir := t.TempDir()
	s := castest.Open(t, dir, nil)
	r, err := s.Receive(ctx, p.root, nil)
	must(t, err)
	if _, err := s.Receive(ctx, p.root, nil); !errors.Is(err, receive.ErrReceiving) {
		t.Errorf("got %v, want %v", err, receive.ErrReceiving)
	}
	if err := r.Finish(ctx); err == nil {
		t.Error("finished without the nodes")
	}
	if want := r.WantNodes(); len(want) != 1 || want[0] != p.root {
		t.Errorf("got %v, want the root", want)
	}
	p.feed(t, r, rand.New(rand.NewPCG(1, 1)), 1<<20)
	if ok, err := s.Has(p.root); ok || err != nil {
		t.Errorf("it is there before it is finished: %v", err)
	}
	if done, total := r.Progress(); done != total || total == 0 {
		t.Errorf("got %d of %d", done, total)
	}
	must(t, r.Finish(ctx))
	must(t, r.Close())
	for range 2 {
		castest.CheckTree(t, castest.OnDisk{Store: s}, p.root, p.tree)
		castest.Check(t, s)
		checkNoTemporary(t, dir)
		must(t, s.Close())
		s = castest.Open(t, dir, nil)
	}
}

func checkNoTemporary(t *testing.T, dir string) {
	t.Helper()
	for _, pattern := range []string{"tmp/receive/*", "tmp/imports/*"} {
		if list, err := filepath.Glob(filepath.Join(dir, pattern)); err != nil || len(list) > 0 {
			t.Errorf("left over: %q, %v", list, err)
		}
	}
}

// A root that was asked for comes with the tree, also with one that is here already, and not before.
func TestReceiveRoot(t *testing.T) {
	ctx := context.Background()
	p := newPeer(t, castest.Tree())
	s := castest.Open(t, t.TempDir(), nil)
	if _, err := s.Receive(ctx, p.root, &receive.Options{RootName: "\xff"}); err == nil {
		t.Error("a root without a name that can be: got no error")
	}
	for _, name := range []string{"a", "b"} {
		r, err := s.Receive(ctx, p.root, &receive.Options{RootName: name})
		must(t, err)
		p.feed(t, r, rand.New(rand.NewPCG(1, 1)), 1<<20)
		before, err := castest.Collect(s.Roots())
		must(t, err)
		must(t, r.Finish(ctx))
		roots, err := castest.Collect(s.Roots())
		must(t, err)
		if len(roots) != len(before)+1 || roots[len(before)].Name != name || roots[len(before)].CID != p.root {
			t.Errorf("got roots %v, before Finish %v; want %s as well, of %s", roots, before, name, p.root)
		}
	}
	castest.Check(t, s)
}
