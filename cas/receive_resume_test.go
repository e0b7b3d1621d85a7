package cas_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/cas/receive"
	"github.com/MordragT/nuka/pir/cid"
)

// someTree has small files, executables, and large ones with leaves in common.
func someTree() fstest.MapFS {
	random := make([]byte, 5<<20+77)
	rand.NewChaCha8([32]byte{3}).Read(random) //nolint:errcheck // never fails
	tree := fstest.MapFS{
		"large":      {Data: random, Mode: 0o644},
		"large.exec": {Data: random, Mode: 0o755},
		"part":       {Data: random[1<<20 : 4<<20], Mode: 0o755}, // of leaves of the other
		"one":        {Data: random[:1<<20], Mode: 0o644},        // is a leaf of the other
		"zeros":      {Data: make([]byte, 6<<20), Mode: 0o644},
		"empty":      {Mode: 0o755},
	}
	for i := range 300 {
		tree[fmt.Sprintf("small/%d", i)] = &fstest.MapFile{Data: fmt.Append(nil, "small", i), Mode: 0o644}
	}
	return tree
}

// rest feeds r to the end and returns how many leaves were wanted.
func (p peer) rest(t *testing.T, r *receive.Receiving) int {
	t.Helper()
	for want := r.WantNodes(); len(want) > 0; want = r.WantNodes() {
		for _, c := range want {
			must(t, r.Put(p.block(t, c)))
		}
	}
	list := r.WantLeaves()
	for _, l := range list {
		b := p.block(t, l.CID)
		if int(l.Size) != len(b.Data) {
			t.Errorf("%s: got size %d, want %d", l.CID, l.Size, len(b.Data))
		}
		must(t, r.Put(b))
	}
	return len(list)
}

// What has come is found again, whether the store was closed or the process killed; what the disk has changed is not.
func TestReceiveResume(t *testing.T) {
	ctx := context.Background()
	p := newPeer(t, someTree())
	for name, between := range map[string]func(t *testing.T, dir string) (again int){
		"nothing": func(*testing.T, string) int { return 0 },
		"a flipped bit in a part": func(t *testing.T, dir string) int {
			parts, err := filepath.Glob(filepath.Join(dir, "tmp", "receive", "*", "part-*"))
			must(t, err)
			for _, path := range parts {
				flipAt(t, path, 1<<20+5)
			}
			return 2 // the second leaf of large is that of part, whose second is the third; zeros has one
		},
		"a flipped bit in a small file": func(t *testing.T, dir string) int {
			blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "*", "*"))
			must(t, err)
			flipAt(t, blobs[0], 0)
			return 1
		},
		"a torn record": func(t *testing.T, dir string) int {
			for _, name := range []string{"nodes", "placed"} {
				logs, err := filepath.Glob(filepath.Join(dir, "tmp", "receive", "*", name))
				must(t, err)
				f, err := os.OpenFile(logs[0], os.O_APPEND|os.O_WRONLY, 0)
				must(t, err)
				_, err = f.WriteString("s\x01\x00\x00torn")
				must(t, err)
				must(t, f.Close())
			}
			return 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := castest.Open(t, dir, nil)
			r, err := s.Receive(ctx, p.root, nil)
			must(t, err)
			p.rest(t, r)
			must(t, s.Close()) // which closes r
			if err := r.Put(p.block(t, p.root)); !errors.Is(err, cas.ErrClosed) {
				t.Errorf("got %v", err)
			}
			must(t, r.Close())
			again := between(t, dir)
			s = castest.Open(t, dir, nil)
			st, err := s.Stats(ctx)
			if must(t, err); st.Files != 0 {
				t.Errorf("got %+v before it is finished", st)
			}
			r, err = s.Receive(ctx, p.root, nil)
			must(t, err)
			if got := p.rest(t, r); name == "a flipped bit in a part" && got < again || name != "a flipped bit in a part" && got != again {
				t.Errorf("got %d leaves again, want %d", got, again)
			}
			must(t, r.Finish(ctx))
			castest.CheckTree(t, castest.OnDisk{Store: s}, p.root, p.tree)
			castest.Check(t, s)
			checkNoTemporary(t, dir)
		})
	}
}

func flipAt(t *testing.T, path string, at int64) {
	t.Helper()
	must(t, os.Chmod(path, 0o644))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	must(t, err)
	b[0] ^= 4
	_, err = f.WriteAt(b, at)
	must(t, err)
	must(t, f.Close())
}

// A bit that flips on the disk between Put and Finish never comes out: the file is damaged, and receiving again heals it.
func TestReceiveFlip(t *testing.T) {
	ctx := context.Background()
	p := newPeer(t, fstest.MapFS{"large": {Data: someTree()["large"].Data}})
	dir := t.TempDir()
	s := castest.Open(t, dir, nil)
	r, err := s.Receive(ctx, p.root, nil)
	must(t, err)
	p.rest(t, r)
	parts, err := filepath.Glob(filepath.Join(dir, "tmp", "receive", "*", "part-*"))
	must(t, err)
	flipAt(t, parts[0], 3<<20)
	must(t, r.Finish(ctx))
	e, err := s.Lookup(ctx, p.root, "large")
	must(t, err)
	if _, err := s.OpenFile(ctx, e.CID); !errors.Is(err, cas.ErrDamaged) {
		t.Errorf("got %v, want %v", err, cas.ErrDamaged)
	}
	r, err = s.Receive(ctx, p.root, nil)
	must(t, err)
	if p.rest(t, r) == 0 {
		t.Error("nothing is wanted of a damaged tree")
	}
	must(t, r.Finish(ctx))
	castest.CheckTree(t, castest.OnDisk{Store: s}, p.root, p.tree)
	castest.Check(t, s)
}

// What the store has is not fetched: blobs, nodes, leaves of other files, executable twins.
func TestReceiveWhatIsHere(t *testing.T) {
	ctx := context.Background()
	all := someTree()
	p := newPeer(t, all)
	for name, c := range map[string]struct {
		has  []string
		want int
	}{
		"everything":      {[]string{"large", "large.exec", "part", "one", "zeros", "empty", "small/0"}, 299},
		"twin":            {[]string{"large", "zeros"}, 300},
		"leaves of large": {[]string{"large.exec"}, 300 + 1},
		"nothing":         {nil, 300 + 6 + 1},
	} {
		s := castest.Open(t, t.TempDir(), nil)
		some := fstest.MapFS{}
		for _, path := range c.has {
			some[path] = all[path]
		}
		_, err := s.Import(ctx, some, nil)
		must(t, err)
		r, err := s.Receive(ctx, p.root, nil)
		must(t, err)
		if got := p.rest(t, r); got != c.want {
			t.Errorf("%s: got %d leaves, want %d", name, got, c.want)
		}
		must(t, r.Finish(ctx))
		castest.CheckTree(t, castest.OnDisk{Store: s}, p.root, p.tree)
		castest.Check(t, s)
		r, err = s.Receive(ctx, p.root, nil) // now all is here
		must(t, err)
		if n := len(r.WantNodes()) + len(r.WantLeaves()); n > 0 {
			t.Errorf("%s: %d blocks are wanted again", name, n)
		}
		must(t, r.Finish(ctx))
	}
}

// Old state is removed when the store is opened, with the blobs it has made; so is what no record tells of.
func TestReceiveExpires(t *testing.T) {
	ctx := context.Background()
	p := newPeer(t, someTree())
	dir := t.TempDir()
	s := castest.Open(t, dir, nil)
	kept, err := s.Import(ctx, castest.Tree(), nil)
	must(t, err)
	r, err := s.Receive(ctx, p.root, nil)
	must(t, err)
	p.rest(t, r)
	must(t, s.Close())
	state := filepath.Join(dir, "tmp", "receive", p.root.String())
	old := time.Now().Add(-8 * 24 * time.Hour)
	must(t, os.Chtimes(state, old, old))
	s = castest.Open(t, dir, nil)
	checkNoTemporary(t, dir)
	checkBlobs(t, s, dir)

	r, err = s.Receive(ctx, p.root, nil)
	must(t, err)
	p.rest(t, r)
	must(t, s.Close())
	must(t, os.Remove(filepath.Join(state, "clean"))) // as after a crash
	must(t, os.Truncate(filepath.Join(state, "placed"), cid.Size*100))
	s = castest.Open(t, dir, nil)
	r, err = s.Receive(ctx, p.root, nil)
	must(t, err)
	if got := p.rest(t, r); got < 150 || got > 210 {
		t.Errorf("got %d leaves, want about 200", got)
	}
	must(t, r.Discard())
	must(t, r.Discard())
	checkNoTemporary(t, dir)
	checkBlobs(t, s, dir)
	castest.CheckTree(t, castest.OnDisk{Store: s}, kept, castest.Tree())
	castest.Check(t, s)
}

// checkBlobs fails when there are other blobs on disk than in the index.
func checkBlobs(t *testing.T, s *cas.Store, dir string) {
	t.Helper()
	st, err := s.Stats(context.Background())
	must(t, err)
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "*", "*"))
	if must(t, err); len(blobs) != st.Files {
		t.Errorf("%d blobs on disk, %d in the index", len(blobs), st.Files)
	}
}

// Any step may fail once: the error comes up, the block is wanted as before, and the tree is whole in the end.
func TestReceiveStepFails(t *testing.T) {
	ctx := context.Background()
	p := newPeer(t, castest.Tree())
	boom := errors.New("no luck")
	for failAt := 1; ; failAt++ {
		steps, armed := 0, false
		dir := t.TempDir()
		s := castest.Open(t, dir, &cas.Options{Failpoint: func(step disk.Step, _ string) error {
			if armed {
				if steps++; steps == failAt && step != disk.StepRemove {
					return boom
				}
			}
			return nil
		}})
		armed = true
		r, err := s.Receive(ctx, p.root, nil)
		must(t, err)
		failed := false
		for err = boom; err != nil; {
			if _, err = castest.Feed(r, p.s, rand.New(rand.NewPCG(1, 1)), 1<<20); err == nil {
				err = r.Finish(ctx)
			}
			if err != nil {
				if !errors.Is(err, boom) || failed {
					t.Fatalf("step %d: got %v", failAt, err)
				}
				failed = true
				if ok, err := s.Has(p.root); ok || err != nil {
					t.Errorf("step %d: the tree is there (%v)", failAt, err)
				}
			}
		}
		castest.CheckTree(t, castest.OnDisk{Store: s}, p.root, p.tree)
		castest.Check(t, s)
		checkBlobs(t, s, dir)
		armed = false
		must(t, s.Close())
		if steps < failAt {
			t.Logf("%d steps", steps)
			if steps < 20 {
				t.Errorf("only %d steps", steps)
			}
			return
		}
	}
}

// Two trees with files in common, and an import of the same files, at once and from many goroutines.
func TestReceiveHammer(t *testing.T) {
	ctx := context.Background()
	trees := []fstest.MapFS{someTree(), someTree(), someTree()}
	trees[1]["more"] = &fstest.MapFile{Data: []byte("more")}
	trees[2]["other"] = &fstest.MapFile{Data: []byte("other")}
	dir := t.TempDir()
	s := castest.Open(t, dir, nil)
	var g sync.WaitGroup
	var roots [3]cid.CID
	for i, tree := range trees {
		p := newPeer(t, tree)
		roots[i] = p.root
		g.Go(func() {
			if i == 0 {
				if _, err := s.Import(ctx, tree, nil); err != nil {
					t.Error(err)
				}
				return
			}
			r, err := s.Receive(ctx, p.root, nil)
			if err != nil {
				t.Error(err)
				return
			}
			var feeders sync.WaitGroup
			for j := range 4 {
				feeders.Go(func() {
					if _, err := castest.Feed(r, p.s, rand.New(rand.NewPCG(uint64(i), uint64(j))), 1<<20); err != nil {
						t.Error(err)
					}
				})
			}
			feeders.Wait()
			if i == 2 {
				if err := r.Discard(); err != nil {
					t.Error(err)
				}
			} else if err := r.Finish(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	for i := range 2 {
		castest.CheckTree(t, castest.OnDisk{Store: s}, roots[i], trees[i])
	}
	castest.Check(t, s)
	checkNoTemporary(t, dir)
	checkBlobs(t, s, dir)
}

// What a Receiving has made and others have committed since stays when the Receiving is given up, and when it is too old.
func TestReceiveLeavesTheOthers(t *testing.T) {
	ctx := context.Background()
	p := newPeer(t, someTree())
	for name, end := range map[string]func(s *cas.Store, r *receive.Receiving, dir string) *cas.Store{
		"discard": func(s *cas.Store, r *receive.Receiving, _ string) *cas.Store {
			must(t, r.Discard())
			return s
		},
		"too old": func(s *cas.Store, r *receive.Receiving, dir string) *cas.Store {
			must(t, s.Close())
			old := time.Now().Add(-8 * 24 * time.Hour)
			must(t, os.Chtimes(filepath.Join(dir, "tmp", "receive", p.root.String()), old, old))
			return castest.Open(t, dir, nil)
		},
	} {
		dir := t.TempDir()
		s := castest.Open(t, dir, nil)
		r, err := s.Receive(ctx, p.root, nil)
		must(t, err)
		p.rest(t, r)
		tree := fstest.MapFS{"small": someTree()["small/7"], "one": someTree()["one"], "zeros": someTree()["zeros"]}
		root, err := s.Import(ctx, tree, nil)
		must(t, err)
		s = end(s, r, dir)
		castest.CheckTree(t, castest.OnDisk{Store: s}, root, tree)
		castest.Check(t, s)
		checkNoTemporary(t, dir)
		checkBlobs(t, s, dir)
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// A blob that was found damaged and removed is no longer the Receiving's own: an import that makes it meanwhile keeps it.
func TestReceiveForgetsWhatItRemoved(t *testing.T) {
	ctx := context.Background()
	tree := fstest.MapFS{"a": {Data: []byte("a file")}, "b": {Data: []byte("another")}}
	p := newPeer(t, tree)
	dir := t.TempDir()
	placed, proceed := make(chan struct{}), make(chan struct{})
	var creates atomic.Int32
	creates.Store(-100)
	s := castest.Open(t, dir, &cas.Options{Workers: 1, Failpoint: func(step disk.Step, _ string) error {
		if step == disk.StepCreate && creates.Add(1) == 2 {
			close(placed)
			<-proceed
		}
		return nil
	}})
	receive := func() *receive.Receiving {
		r, err := s.Receive(ctx, p.root, nil)
		must(t, err)
		return r
	}
	r := receive()
	p.rest(t, r)
	must(t, r.Close())
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "*", "*"))
	must(t, err)
	for _, path := range blobs {
		flipAt(t, path, 0)
	}
	r = receive()
	if n := len(r.WantLeaves()); n != 2 {
		t.Errorf("got %d wanted leaves, want 2", n)
	}
	must(t, r.Close())
	creates.Store(0)
	done := make(chan error)
	go func() {
		_, err := s.Import(ctx, tree, nil)
		done <- err
	}()
	<-placed // the import's first file has its final name and no record
	creates.Store(-100)
	must(t, receive().Discard())
	close(proceed)
	must(t, <-done)
	castest.CheckTree(t, castest.OnDisk{Store: s}, p.root, tree)
	castest.Check(t, s)
}
