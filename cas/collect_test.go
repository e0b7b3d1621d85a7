package cas_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/cas/receive"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// blobsOnDisk counts the files of blobs.
func blobsOnDisk(t *testing.T, dir string) (n int) {
	t.Helper()
	shards, err := os.ReadDir(filepath.Join(dir, "blobs"))
	must(t, err)
	for _, shard := range shards {
		list, err := os.ReadDir(filepath.Join(dir, "blobs", shard.Name()))
		must(t, err)
		n += len(list)
	}
	return n
}

// bindNumber imports a tree of one file of its own and binds it to the PID of a number.
func bindNumber(t *testing.T, s *cas.Store, i int, refs ...pir.PID) (pir.PID, cid.CID) {
	t.Helper()
	c, err := s.Import(t.Context(), fstest.MapFS{"own": {Data: fmt.Append(make([]byte, 8000), i)}, "same": {Data: []byte("same")}}, nil)
	must(t, err)
	p, b := castest.PID(i)
	must(t, s.PutPIR(t.Context(), p, b, nil))
	must(t, s.Bind(t.Context(), castest.Attest(1, p, c, refs...)))
	return p, c
}

// Packages are removed from the least recently used on, until so much is free, and those in use are not.
func TestCollectMax(t *testing.T) {
	s := castest.Open(t, t.TempDir(), nil)
	var ids []pir.PID
	for i := range 6 {
		p, c := bindNumber(t, s, i)
		ids = append(ids, p)
		must(t, s.Use(t.Context(), time.Unix(int64(10-i)*24*3600, 0), p)) // 5 was used least recently
		if i == 4 {
			must(t, s.PutRoot(t.Context(), cas.Root{Name: "r", CID: c, PID: p}))
		}
	}
	_, err := s.Import(t.Context(), fstest.MapFS{"unbound": {Data: []byte("x")}}, nil)
	must(t, err)
	for _, tt := range []struct {
		max  int64
		want []pir.PID
	}{
		{1, nil}, // content that is in no package was used least recently
		{4097, []pir.PID{ids[5]}},
		{12288, []pir.PID{ids[5]}}, // 4 KiB for the unbound file, 8 KiB for each package
		{12289, []pir.PID{ids[3], ids[5]}},
		{1 << 40, []pir.PID{ids[0], ids[1], ids[2], ids[3], ids[5]}},
	} {
		got, err := s.Collect(t.Context(), &cas.CollectOptions{Max: tt.max, DryRun: true})
		must(t, err)
		want := map[pir.PID]bool{}
		for _, p := range tt.want {
			want[p] = true
		}
		for _, p := range got.Gone {
			if !want[p] {
				t.Errorf("max %d: %s goes", tt.max, p)
			}
			delete(want, p)
		}
		if len(want) > 0 {
			t.Errorf("max %d: %v stay", tt.max, want)
		}
	}
	got, err := s.Collect(t.Context(), &cas.CollectOptions{Max: 4097})
	if must(t, err); got.Packages != 1 || got.Blobs != 2 || got.Bytes != 12288 {
		t.Errorf("got %+v", got)
	}
	if _, err := s.CID(ids[3]); err != nil {
		t.Error(err)
	}
	castest.Check(t, s)
}

// A root that marks a tree and does not keep it goes with the tree. Roots to drop go first. Packages in use stay.
func TestCollectRoots(t *testing.T) {
	s := castest.Open(t, t.TempDir(), nil)
	kept, keptTree := bindNumber(t, s, 0)
	_, markedTree := bindNumber(t, s, 1)
	used, _ := bindNumber(t, s, 2)
	_, droppedTree := bindNumber(t, s, 3)
	must(t, s.ChangeRoots(t.Context(), []cas.Root{
		{Name: "mark/kept", CID: keptTree}, {Name: "mark/gone", CID: markedTree}, {Name: "user/kept", CID: keptTree, PID: kept}, {Name: "user/dropped", CID: droppedTree},
	}, nil))
	asked := 0
	o := &cas.CollectOptions{
		Keeps: func(name string) bool { return name[:4] != "mark" }, Drop: []string{"user/dropped", "user/unknown"},
		InUse: func(list []pir.PID) []pir.PID {
			if slices.Contains(list, kept) || !slices.Contains(list, used) && asked == 0 {
				t.Errorf("asked about %v", list)
			}
			asked++
			return []pir.PID{used}
		},
	}
	_, err := s.Collect(t.Context(), o)
	must(t, err)
	roots, err := castest.Collect(s.Roots())
	if must(t, err); len(roots) != 2 || roots[0].Name != "mark/kept" || roots[1].Name != "user/kept" {
		t.Errorf("got %v", roots)
	}
	for c, want := range map[cid.CID]bool{keptTree: true, markedTree: false, droppedTree: false} {
		if got, err := s.Has(c); got != want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", c, got, err, want)
		}
	}
	if _, err := s.CID(used); err != nil {
		t.Error(err)
	}
	castest.Check(t, s)
}

// A collection is cancelled, or a step fails, at each step: the store stays whole, and another collection removes the rest.
func TestCollectCutOff(t *testing.T) {
	for at := 1; ; at++ {
		steps, armed := 0, false
		broken := errors.New("the disk failed")
		dir := t.TempDir()
		s := castest.Open(t, dir, &cas.Options{Failpoint: func(disk.Step, string) error {
			if armed {
				steps++
			}
			if armed && steps == at {
				return broken
			}
			return nil
		}})
		_, live := bindNumber(t, s, 0)
		must(t, s.PutRoot(t.Context(), cas.Root{Name: "r", CID: live}))
		for i := range 5 {
			c, err := s.Import(t.Context(), castest.NumberedTree(i, 7, 0o755), nil)
			must(t, err)
			p, _ := castest.PID(i + 10)
			must(t, s.Bind(t.Context(), castest.Attest(1, p, c)))
		}
		armed = true
		_, err := s.Collect(t.Context(), nil)
		armed = false
		castest.Check(t, s)
		cutOff := errors.Is(err, broken)
		if err != nil && !cutOff {
			t.Fatal(err)
		}
		if at%2 == 0 { // a collection after a new start
			must(t, s.Close())
			s = castest.Open(t, dir, nil)
		}
		_, err = s.Collect(t.Context(), nil)
		must(t, err)
		st, err := s.Stats(t.Context())
		if must(t, err); st.Files != 2 || st.Nodes != 1 || st.Bindings != 1 {
			t.Fatalf("step %d: got %+v", at, st)
		}
		castest.Check(t, s)
		must(t, s.Close())
		castest.Check(t, castest.Open(t, dir, nil))
		if n := blobsOnDisk(t, dir); n != 2 {
			t.Fatalf("step %d: %d blobs on the disk", at, n)
		}
		if !cutOff {
			if at < 8 {
				t.Errorf("a collection takes %d steps only", at)
			}
			return
		}
	}
}

// A collection was cut off when it had removed the nodes of a file and the record of one of its leaves, and not its blob. Receiving the file
// again makes it whole without its bytes.
func TestReceiveAfterCutCollection(t *testing.T) {
	dir := t.TempDir()
	s := castest.Open(t, dir, nil)
	same := make([]byte, 1<<20)
	one := &fstest.MapFile{Data: append(slices.Clone(same), "one"...), Mode: 0o644}
	first, err := s.Import(t.Context(), fstest.MapFS{"one": one}, nil)
	must(t, err)
	file, err := s.Lookup(t.Context(), first, "one")
	must(t, err)
	both, err := s.Import(t.Context(), fstest.MapFS{"two": {Data: append(slices.Clone(same), "two"...), Mode: 0o644}}, nil)
	must(t, err)
	l := s.Lease("a test")
	defer l.Release()
	_, err = s.Collect(t.Context(), &cas.CollectOptions{Progress: func(cas.Collected) {
		if ok, _ := s.Has(file.CID); !ok {
			l.Keep(file.CID)
		}
	}})
	must(t, err)
	if ok, err := s.Has(both); ok || err != nil || blobsOnDisk(t, dir) != 1 {
		t.Fatalf("got %v, %v and %d blobs, want the blob of one file alone", ok, err, blobsOnDisk(t, dir))
	}
	peer, root := castest.Peer(fstest.MapFS{"one": one})
	r, err := s.Receive(t.Context(), root, nil)
	must(t, err)
	_, err = castest.Feed(r, peer, rand.New(rand.NewPCG(1, 1)), 1<<40)
	must(t, err)
	must(t, r.Finish(t.Context()))
	castest.CheckTree(t, castest.OnDisk{Store: s}, root, fstest.MapFS{"one": one})
	castest.Check(t, s)
}

// receiving says whether an error only says that another worker receives the tree.
func receiving(err error) bool { return errors.Is(err, receive.ErrReceiving) }

// Collections run beside imports, receptions and bindings: nothing with a lease or a root is lost, and the store stays whole.
func TestCollectBeside(t *testing.T) {
	length := 2 * time.Second
	if testing.Short() {
		length = time.Second
	}
	if os.Getenv("NUKA_LONG") != "" {
		length = 5 * time.Minute
	}
	dir := t.TempDir()
	s := castest.Open(t, dir, nil)
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var running sync.WaitGroup
	var taken, removed atomic.Int64
	for w := range 4 {
		running.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 5))
			for n := 0; ctx.Err() == nil; n++ {
				i := r.IntN(60) // several workers take the same trees
				tree := castest.NumberedTree(i, 99, 0o755)
				l := s.Lease("a test")
				c, err := castest.TakeNumber(s, n, tree, uint64(n), l)
				if err == nil {
					taken.Add(1)
					p, b := castest.PID(i)
					l.KeepPIDs(p)
					err = errors.Join(s.PutPIR(t.Context(), p, b, nil), s.Bind(t.Context(), castest.Attest(byte(w), p, c)))
					if n%3 == 0 {
						err = errors.Join(err, s.PutRoot(t.Context(), cas.Root{Name: fmt.Sprint("w", w), CID: c, PID: p}))
					}
					castest.CheckTree(t, castest.OnDisk{Store: s}, c, tree)
					if _, e := s.CID(p); e != nil {
						err = errors.Join(err, e)
					}
				}
				l.Release()
				if err != nil && !receiving(err) {
					t.Errorf("tree %d: %v", i, err)
					cancel()
				}
			}
		})
	}
	running.Go(func() {
		for ctx.Err() == nil {
			got, err := s.Collect(ctx, nil)
			removed.Add(int64(got.Blobs))
			if err != nil && ctx.Err() == nil {
				t.Errorf("collect: %v", err)
				cancel()
			}
		}
	})
	running.Wait()
	castest.Check(t, s)
	_, err := s.Collect(t.Context(), nil)
	must(t, err)
	castest.Check(t, s)
	st, err := s.Stats(t.Context())
	if must(t, err); blobsOnDisk(t, dir) != st.Files {
		t.Errorf("%d blobs on the disk, %d in the index", blobsOnDisk(t, dir), st.Files)
	}
	t.Logf("%d trees taken, %d blobs removed", taken.Load(), removed.Load())
	if taken.Load() < 5 || removed.Load() < 5 {
		t.Error("too little happened")
	}
}
