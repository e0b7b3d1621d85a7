package cas_test

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// isFull says whether an error refuses content because of a setting, and says what to do.
func isFull(err error, setting string) bool {
	e := protocol.AsError(err)
	return e != nil && e.Code == protocol.Exhausted && strings.Contains(e.Message, setting) && strings.Contains(e.Hint, "nuka gc")
}

// Content that would exceed the quota is refused before a byte of the file too many is written, by import and by reception; what the store has
// may come again; and a collection makes room.
func TestQuota(t *testing.T) {
	const quota = 5 << 20
	dir := t.TempDir()
	wrote := false
	o := &cas.Options{Quota: quota, Workers: 1, Failpoint: func(step disk.Step, path string) error {
		wrote = wrote || step == disk.StepWrite && filepath.Base(path) != "nodes"
		return nil
	}}
	s := castest.Open(t, dir, o)
	tree := func(name string, size int) fstest.MapFS {
		return fstest.MapFS{name: {Data: append(bytes.Repeat([]byte(name), size/len(name)), "end"...)}}
	}
	take := func(s *cas.Store, fs fstest.MapFS, receive bool) error {
		if !receive {
			_, err := s.Import(t.Context(), fs, nil)
			return err
		}
		peer, root := castest.Peer(fs)
		return castest.Receive(s, peer, root, rand.New(rand.NewPCG(1, 1)))
	}
	kept, small := tree("k", 3<<20), tree("s", 100<<10)
	root, err := s.Import(t.Context(), kept, nil)
	must(t, err)
	must(t, s.PutRoot(t.Context(), cas.Root{Name: "kept", CID: root}))
	must(t, take(s, small, false))
	for _, reopened := range []bool{false, true} {
		if reopened { // the size is counted again
			must(t, s.Close())
			s = castest.Open(t, dir, o)
		}
		for _, receive := range []bool{false, true} {
			for _, again := range []string{"a", "b"} { // a refused one does not take room
				wrote = false
				if err := take(s, tree(again, 2<<20), receive); !isFull(err, "store.quota") || wrote {
					t.Fatalf("reopened %v, receive %v: got %v, wrote %v", reopened, receive, err, wrote)
				}
			}
			for i := range 5 { // a file that was written before another one was refused leaves room
				two := tree("y", 2<<20)
				two["x"] = &fstest.MapFile{Data: append(make([]byte, 600<<10), byte(i))}
				if err := take(s, two, receive); !isFull(err, "store.quota") {
					t.Fatalf("two files: got %v", err)
				}
			}
			must(t, take(s, small, receive))
			must(t, take(s, tree("m", 500<<10), receive))
			if receive {
				_, err := s.Collect(t.Context(), &cas.CollectOptions{})
				must(t, err)
				must(t, take(s, small, false))
			}
		}
	}
	_, err = s.Collect(t.Context(), nil)
	must(t, err)
	must(t, take(s, tree("n", 2<<20-100), false)) // exactly up to 3 bytes below the quota, with "end" of both
	st, err := s.Stats(t.Context())
	if must(t, err); st.Bytes > quota || st.Bytes < quota-200 {
		t.Errorf("the store has %d bytes of %d", st.Bytes, quota)
	}
	castest.Check(t, s)
	left, err := filepath.Glob(filepath.Join(dir, "tmp", "imports", "*"))
	if must(t, err); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

// Many imports at once do not exceed the quota together, and a file that is in many of them counts once after a collection.
func TestQuotaAtOnce(t *testing.T) {
	const quota = 1 << 20
	s := castest.Open(t, t.TempDir(), &cas.Options{Quota: quota})
	errs := make(chan error)
	const imports = 20
	for i := range imports {
		go func() {
			_, err := s.Import(t.Context(), fstest.MapFS{"f": {Data: bytes.Repeat([]byte{byte(i)}, 100<<10)}}, nil)
			errs <- err
		}()
	}
	refused := 0
	for range imports {
		if err := <-errs; isFull(err, "store.quota") {
			refused++
		} else if err != nil {
			t.Error(err)
		}
	}
	st, err := s.Stats(t.Context())
	if must(t, err); st.Bytes > quota || refused < imports-10 {
		t.Errorf("the store has %d bytes, and %d were refused", st.Bytes, refused)
	}
	castest.Check(t, s)
}

// Content is refused if the disk would have less free space than the reserve. Collection, roots and bindings work all the same.
func TestReserve(t *testing.T) {
	dir := t.TempDir()
	s := castest.Open(t, dir, nil)
	if _, known := s.Free(); !known {
		t.Skip("the system does not tell the free space") // nothing is refused then
	}
	p, c := bindNumber(t, s, 1)
	_, dead := bindNumber(t, s, 2)
	must(t, s.Close())
	s = castest.Open(t, dir, &cas.Options{Reserve: 1 << 60})
	if _, err := s.Import(t.Context(), fstest.MapFS{"new": {Data: []byte("new")}}, nil); !isFull(err, "store.reserve") {
		t.Errorf("import: got %v", err)
	}
	peer, root := castest.Peer(fstest.MapFS{"new": {Data: make([]byte, 3*cid.LeafSize)}})
	if err := castest.Receive(s, peer, root, rand.New(rand.NewPCG(1, 1))); !isFull(err, "store.reserve") {
		t.Errorf("receive: got %v", err)
	}
	must(t, s.PutRoot(t.Context(), cas.Root{Name: "r", CID: c, PID: p}))
	_, err := s.Collect(t.Context(), nil)
	must(t, err)
	if ok, err := s.Has(dead); ok || err != nil {
		t.Errorf("a dead tree: got %v, %v", ok, err)
	}
	castest.Check(t, s)
}
