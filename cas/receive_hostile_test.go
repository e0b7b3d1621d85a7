package cas_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/cas/receive"
	"github.com/MordragT/nuka/pir/cid"
)

// A forge makes trees that keep no rules.
type forge map[cid.CID][]byte

func (f forge) node(n *cid.Node) cid.Link {
	b := n.Encode()
	c := cid.Sum(cid.DagPB, b)
	f[c] = b
	l := cid.Link{CID: c, Tsize: int64(len(b))}
	for _, child := range n.Links {
		l.Tsize += child.Tsize
	}
	return l
}

func (f forge) leaf(b []byte) cid.Link {
	c := cid.Sum(cid.Raw, b)
	f[c] = b
	return cid.Link{CID: c, Tsize: int64(len(b))}
}

func (f forge) dir(links ...cid.Link) cid.Link {
	return f.node(&cid.Node{Kind: cid.KindDir, Links: links})
}

func (f forge) file(exec bool, sizes []int64, links ...cid.Link) cid.Link {
	n := &cid.Node{Kind: cid.KindFile, Links: links, BlockSizes: sizes, Exec: exec}
	for _, s := range sizes {
		n.Size += s
	}
	return f.node(n)
}

func named(name string, l cid.Link) cid.Link {
	l.Name = name
	return l
}

// feed puts what is wanted until an error or the end.
func (f forge) feed(ctx context.Context, r *receive.Receiving) error {
	for {
		want := r.WantNodes()
		for _, l := range r.WantLeaves() {
			want = append(want, l.CID)
		}
		if len(want) == 0 {
			return r.Finish(ctx)
		}
		for _, c := range want {
			if err := r.Put(cid.Block{CID: c, Data: f[c]}); err != nil {
				return err
			}
		}
	}
}

// Trees that lie, are too large or would take for ever end in an error that says so, and nothing of them is left.
func TestReceiveHostile(t *testing.T) {
	ctx := context.Background()
	full := make([]byte, cid.LeafSize)
	for name, c := range map[string]struct {
		make func(f forge) cid.Link
		want error
	}{
		"garbage": {func(f forge) cid.Link {
			b := []byte{0x12, 0xff, 0xff, 0xff, 0xff, 0x0f}
			c := cid.Sum(cid.DagPB, b)
			f[c] = b
			return cid.Link{CID: c}
		}, receive.ErrBadTree},
		"dot dot": {func(f forge) cid.Link { return f.dir(named("..", f.leaf([]byte("x")))) }, receive.ErrBadTree},
		"slash":   {func(f forge) cid.Link { return f.dir(named("a/b", f.leaf([]byte("x")))) }, receive.ErrBadTree},
		"twice":   {func(f forge) cid.Link { l := named("a", f.leaf([]byte("x"))); return f.dir(l, l) }, receive.ErrBadTree},
		"leaf is longer than its link says": {func(f forge) cid.Link {
			l := named("a", f.leaf([]byte("four")))
			l.Tsize = 3
			return f.dir(l)
		}, receive.ErrBadTree},
		"leaf is shorter than its file says": {func(f forge) cid.Link {
			l := f.leaf([]byte("four"))
			l.Tsize = 5
			return f.dir(named("a", f.file(true, []int64{5}, l)))
		}, receive.ErrBadTree},
		"leaf of two sizes": {func(f forge) cid.Link {
			a, b := f.leaf([]byte("four")), f.leaf([]byte("four"))
			b.Tsize = 5
			return f.dir(named("a", a), named("b", b))
		}, receive.ErrBadTree},
		"leaf of no bytes": {func(f forge) cid.Link {
			a := f.leaf([]byte("four"))
			a.Tsize = 0
			return f.dir(named("a", a))
		}, receive.ErrBadTree},
		"leaf of 2 MiB": {func(f forge) cid.Link { return f.dir(named("a", f.leaf(make([]byte, 2<<20)))) }, receive.ErrBadTree},
		"root of 2 MiB": {func(f forge) cid.Link { return f.leaf(make([]byte, 2<<20)) }, receive.ErrBadTree},
		"total size": {func(f forge) cid.Link {
			l := f.dir(named("a", f.leaf([]byte("x"))))
			l.Tsize++
			return f.dir(named("d", l))
		}, receive.ErrBadTree},
		"file size": {func(f forge) cid.Link {
			return f.node(&cid.Node{Kind: cid.KindFile, Size: 9, BlockSizes: []int64{4}, Exec: true, Links: []cid.Link{f.leaf([]byte("four"))}})
		}, receive.ErrBadTree},
		"part has another size": {func(f forge) cid.Link {
			part := f.file(false, []int64{cid.LeafSize, 4}, f.leaf(full), f.leaf([]byte("four")))
			part.Tsize += cid.LeafSize
			return f.file(false, []int64{2 * cid.LeafSize, 4}, part, f.file(false, []int64{4}, f.leaf([]byte("four"))))
		}, receive.ErrBadTree},
		"node for one leaf": {func(f forge) cid.Link { return f.file(false, []int64{4}, f.leaf([]byte("four"))) }, receive.ErrBadTree},
		"needless level": {func(f forge) cid.Link {
			return f.file(true, []int64{4}, f.file(false, []int64{4}, f.leaf([]byte("four"))))
		}, receive.ErrBadTree},
		"directory in file":  {func(f forge) cid.Link { return f.file(true, []int64{1}, f.dir()) }, receive.ErrBadTree},
		"executable in file": {func(f forge) cid.Link { return bigFile(f, true) }, receive.ErrBadTree},
		"too deep": {func(f forge) cid.Link {
			l := f.dir()
			for range 300 {
				l = f.dir(named("d", l))
			}
			return l
		}, cid.ErrLimit},
		"too wide": {func(f forge) cid.Link {
			var links []cid.Link
			for i := range 2000 {
				links = append(links, named(fmt.Sprintf("%04d", i), f.leaf([]byte("x"))))
			}
			return f.dir(links...)
		}, cid.ErrLimit},
		"2^40 paths": {func(f forge) cid.Link {
			l := f.leaf([]byte("x"))
			for range 40 {
				l = f.dir(named("a", l), named("b", l))
			}
			return l
		}, cid.ErrLimit},
		"2^100 paths, with sizes that lie": {func(f forge) cid.Link {
			l := f.leaf([]byte("x"))
			for range 100 {
				l = f.dir(named("a", l), named("b", l))
				l.Tsize = 1
			}
			return l
		}, receive.ErrBadTree},
		"2^8 shards": {func(f forge) cid.Link {
			l := f.shard(named("00a", f.leaf([]byte("x"))))
			for range 8 {
				l = f.shard(named("00", l), named("01", l))
			}
			return l
		}, receive.ErrBadTree},
		"2^100 shards, with sizes that lie": {func(f forge) cid.Link {
			l := f.shard(named("00a", f.leaf([]byte("x"))))
			for range 100 {
				l = f.shard(named("00", l), named("01", l))
				l.Tsize = 1
			}
			return l
		}, receive.ErrBadTree},
		"name in a wrong shard": {func(f forge) cid.Link {
			path := cid.ShardPath("a")
			wrong := map[bool]string{true: "00", false: "01"}[path[0] != "00"]
			return f.shard(named(wrong, f.shard(named(path[1]+"a", f.leaf([]byte("x"))))))
		}, receive.ErrBadTree},
		"directory as shard": {func(f forge) cid.Link { return f.shard(named("00", f.dir())) }, receive.ErrBadTree},
		"file of endless levels": {func(f forge) cid.Link {
			l := f.file(false, []int64{4}, f.leaf([]byte("four")))
			for range 3000 {
				l = f.file(false, []int64{4}, l)
			}
			return l
		}, cid.ErrLimit},
		"file of many small parts": {func(f forge) cid.Link {
			var links []cid.Link
			var sizes []int64
			for i := range cid.Width {
				links = append(links, f.file(true, []int64{1}, f.leaf([]byte{byte(i)})))
				sizes = append(sizes, 1)
			}
			return f.file(false, sizes, links...)
		}, receive.ErrBadTree},
		"a file too large": {func(f forge) cid.Link {
			l := f.leaf(full)
			l.CID = cid.Sum(cid.DagPB, full)
			l.Tsize = 1 << 62
			return f.file(false, []int64{1 << 61}, l)
		}, cid.ErrLimit},
		"files too large together": {func(f forge) cid.Link {
			var links []cid.Link
			for i := range 9 {
				links = append(links, named(fmt.Sprint(i), f.leaf(full)))
			}
			return f.dir(links...)
		}, cid.ErrLimit},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := castest.Open(t, dir, &cas.Options{Limits: cid.Limits{Entries: 1000}})
			f := forge{}
			root := c.make(f).CID
			r, err := s.Receive(ctx, root, &receive.Options{Size: 8 << 20})
			must(t, err)
			err = f.feed(ctx, r)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			t.Log(err)
			if err := r.Put(cid.Block{CID: root, Data: f[root]}); !errors.Is(err, c.want) {
				t.Errorf("later: got %v", err)
			}
			if err := r.Finish(ctx); !errors.Is(err, c.want) {
				t.Errorf("finish: got %v", err)
			}
			must(t, r.Close())
			checkEmpty(t, s, dir)
			r, err = s.Receive(ctx, root, nil)
			must(t, err)
			must(t, r.Close())
		})
	}
}

func (f forge) shard(links ...cid.Link) cid.Link {
	return f.node(&cid.Node{Kind: cid.KindShard, Links: links})
}

// bigFile is a file of two levels, whose first part is an executable.
func bigFile(f forge, exec bool) cid.Link {
	full := f.leaf(make([]byte, cid.LeafSize))
	var links []cid.Link
	var sizes []int64
	for range cid.Width {
		links = append(links, full)
		sizes = append(sizes, cid.LeafSize)
	}
	// Eight MiB may come, so this one is refused by its size unless the limit is higher: see TestReceiveLevels.
	part := f.file(exec, sizes[:4], links[:4]...)
	return f.file(false, []int64{4 * cid.LeafSize, cid.LeafSize}, part, f.file(false, sizes[:1], full))
}

// checkEmpty fails unless there is nothing in a store, nor in its folders.
func checkEmpty(t *testing.T, s *cas.Store, dir string) {
	t.Helper()
	st, err := s.Stats(context.Background())
	if must(t, err); st != (cas.Stats{}) {
		t.Errorf("got %+v", st)
	}
	castest.Check(t, s)
	checkNoTemporary(t, dir)
	if blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "*", "*")); err != nil || len(blobs) > 0 {
		t.Errorf("left over: %q, %v", blobs, err)
	}
}

// A file of two levels, whose leaves are all the same, is fetched with three blocks.
func TestReceiveLevels(t *testing.T) {
	ctx := context.Background()
	leaf := make([]byte, cid.LeafSize)
	var leaves []cid.Leaf
	for range cid.Width + 1 {
		leaves = append(leaves, cid.Leaf{CID: cid.Sum(cid.Raw, leaf), Size: cid.LeafSize})
	}
	f := forge{}
	f.leaf(leaf)
	root, nodes := cid.FileNodes(leaves, true)
	for _, n := range nodes {
		f[n.CID] = n.Data
	}
	s := castest.Open(t, t.TempDir(), nil)
	r, err := s.Receive(ctx, root, nil)
	must(t, err)
	must(t, f.feed(ctx, r))
	castest.Check(t, s)
	e, err := s.Lookup(ctx, root, "")
	if must(t, err); e.Size != (cid.Width+1)*cid.LeafSize || !e.Exec {
		t.Errorf("got %+v", e)
	}
	file, err := s.OpenFile(ctx, root) // which compares it with its hash
	must(t, err)
	must(t, file.Close())
}

// Whatever bytes come as a node, there is no panic and nothing is left of what is no tree.
func FuzzReceive(f *testing.F) {
	trees := forge{}
	for _, l := range []cid.Link{
		trees.dir(named("a", trees.leaf([]byte("x")))),
		trees.shard(named("00a", trees.leaf([]byte("x")))),
		trees.file(true, []int64{4}, trees.leaf([]byte("four"))),
		trees.file(true, nil),
	} {
		f.Add(trees[l.CID])
	}
	f.Add([]byte{0x12, 0xff, 0xff})
	dir := filepath.Join(os.TempDir(), fmt.Sprint("nuka-fuzz-", os.Getpid()))
	s, err := cas.Open(dir, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		s.Close()         //nolint:errcheck // nothing of it is needed
		os.RemoveAll(dir) //nolint:errcheck // temporary
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		root := cid.Sum(cid.DagPB, b)
		r, err := s.Receive(t.Context(), root, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, decodeErr := cid.Decode(b)
		err = r.Put(cid.Block{CID: root, Data: b})
		if decodeErr != nil && !errors.Is(err, receive.ErrBadTree) && len(b) <= cid.MaxNode {
			t.Errorf("got %v, want %v", err, receive.ErrBadTree)
		}
		if err == nil && len(r.WantNodes())+len(r.WantLeaves()) == 0 {
			if err := r.Finish(t.Context()); err != nil {
				t.Errorf("finish: %v", err)
			}
			castest.Check(t, s)
			for _, err := range s.Entries(t.Context(), root) {
				if err != nil {
					t.Errorf("entries: %v", err)
				}
			}
		}
		if err := r.Discard(); err != nil {
			t.Error(err)
		}
		checkNoTemporary(t, dir)
	})
}

// What is no tree for one bound may be one for another.
func TestReceiveSize(t *testing.T) {
	ctx := context.Background()
	p := newPeer(t, fstest.MapFS{"a": {Data: []byte("1234")}, "b": {Data: []byte("1234")}})
	for size, ok := range map[int64]bool{7: false, 8: true, 0: true} {
		s := castest.Open(t, t.TempDir(), nil)
		r, err := s.Receive(ctx, p.root, &receive.Options{Size: size})
		must(t, err)
		err = r.Put(p.block(t, p.root))
		if (err == nil) != ok || !ok && (!errors.Is(err, cid.ErrLimit) || !strings.Contains(err.Error(), "7 bytes")) {
			t.Errorf("%d: got %v", size, err)
		}
		must(t, r.Close())
	}
}
