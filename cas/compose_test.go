package cas_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/pir/cid"
)

// moved returns the pieces of a tree below another folder, and the tree that they make.
func moved(t *testing.T, s *cas.Store, root cid.CID, tree fstest.MapFS) ([]cas.Piece, fstest.MapFS) {
	t.Helper()
	pieces, err := castest.Pieces(t.Context(), s, root, "usr")
	must(t, err)
	want := fstest.MapFS{}
	for at, f := range tree {
		want["usr/"+at] = f
	}
	return pieces, want
}

// A collection has found what is live, and then a tree is composed of dead ones, which takes until the collection has ended: their files stay. When
// the collection has removed them before, that is not possible any more.
func TestComposeWhileCollected(t *testing.T) {
	var armed atomic.Bool
	begun, proceed := make(chan struct{}), make(chan struct{})
	s := castest.Open(t, t.TempDir(), &cas.Options{Failpoint: func(step disk.Step, _ string) error {
		if step == disk.StepCreate && armed.CompareAndSwap(true, false) {
			close(begun)
			<-proceed
		}
		return nil
	}})
	tree, other := castest.Tree(), fstest.MapFS{"other/x": {Data: []byte("of the other"), Mode: 0o755}, "other/y": {Data: []byte("plain"), Mode: 0o644}}
	root, err := s.Import(t.Context(), tree, nil)
	must(t, err)
	gone, err := s.Import(t.Context(), other, nil)
	must(t, err)
	pieces, want := moved(t, s, root, tree)
	gonePieces, _ := moved(t, s, gone, other)
	pieces = append(pieces, cas.Piece{Entry: cas.Entry{Path: "new", Kind: cas.File}, Data: []byte("a new file")})
	want["new"] = &fstest.MapFile{Data: []byte("a new file"), Mode: 0o644}
	lease := s.Lease("a test")
	defer lease.Release()
	var composed cid.CID
	var failed error
	var composing sync.WaitGroup
	calls := 0
	_, err = s.Collect(t.Context(), &cas.CollectOptions{Progress: func(cas.Collected) {
		if calls++; calls == 1 {
			armed.Store(true)
			composing.Go(func() {
				composed, failed = s.Compose(t.Context(), pieces, &cas.ComposeOptions{Parts: []cid.CID{root}, Lease: lease})
			})
			<-begun
		}
	}})
	close(proceed)
	composing.Wait()
	must(t, errors.Join(err, failed))
	if ok, err := s.Has(gone); ok || err != nil {
		t.Errorf("the other tree is there (%v)", err)
	}
	if _, err := s.Compose(t.Context(), gonePieces, &cas.ComposeOptions{Parts: []cid.CID{gone}}); !errors.Is(err, cas.ErrNotFound) {
		t.Errorf("of a tree that is gone: got %v", err)
	}
	castest.CheckTree(t, castest.OnDisk{Store: s}, composed, want)
	_, err = s.Collect(t.Context(), nil)
	must(t, err)
	castest.CheckTree(t, castest.OnDisk{Store: s}, composed, want) // the caller's lease
	castest.Check(t, s)
}

// A file whose blob was found damaged cannot be a piece, executable or not: the tree would not be whole.
func TestComposeDamaged(t *testing.T) {
	for _, name := range []string{"bin/tool", "share/big", "share/Case"} {
		s := castest.Open(t, t.TempDir(), nil)
		tree := castest.Tree()
		root, err := s.Import(t.Context(), tree, nil)
		must(t, err)
		e, err := s.Lookup(t.Context(), root, name)
		must(t, err)
		blob, err := s.BlobPath(e.CID)
		must(t, err)
		must(t, os.Chmod(blob, 0o644))
		must(t, os.WriteFile(blob, bytes.Repeat([]byte("no"), int(e.Size)/2), 0o644))
		if _, err := s.OpenFile(t.Context(), e.CID); !errors.Is(err, cas.ErrDamaged) {
			t.Fatalf("%s: got %v", name, err)
		}
		pieces, want := moved(t, s, root, tree)
		if c, err := s.Compose(t.Context(), pieces, &cas.ComposeOptions{Parts: []cid.CID{root}}); !errors.Is(err, cas.ErrDamaged) {
			t.Errorf("%s: got %s, %v", name, c, err)
		}
		_, err = s.Import(t.Context(), tree, nil) // heals it
		must(t, err)
		c, err := s.Compose(t.Context(), pieces, &cas.ComposeOptions{Parts: []cid.CID{root}})
		must(t, err)
		castest.CheckTree(t, castest.OnDisk{Store: s}, c, want)
	}
}

// Any step of a composition may fail: the error comes up, nothing of the tree is there, and the parts stay whole.
func TestComposeStepFails(t *testing.T) {
	boom := errors.New("no luck")
	failAt, steps := -1, 0
	o := &cas.Options{Workers: 1, Failpoint: func(step disk.Step, _ string) error {
		if steps++; steps == failAt && step != disk.StepRemove {
			return boom
		}
		return nil
	}}
	s := castest.Open(t, t.TempDir(), o)
	tree := castest.Tree()
	root, err := s.Import(t.Context(), tree, nil)
	must(t, err)
	pieces, want := moved(t, s, root, tree)
	for _, at := range []string{"etc/new", "etc/exec"} {
		data := []byte("new " + at)
		pieces = append(pieces, cas.Piece{Entry: cas.Entry{Path: at, Kind: cas.File, Exec: at == "etc/exec"}, Data: data})
		want[at] = &fstest.MapFile{Data: data, Mode: 0o644}
	}
	want["etc/exec"].Mode = 0o755
	whole, err := cid.HashTree(t.Context(), want, nil)
	must(t, err)
	for failAt = 1; ; failAt++ {
		steps = 0
		c, err := s.Compose(t.Context(), pieces, &cas.ComposeOptions{Parts: []cid.CID{root}})
		if err == nil {
			if c != whole {
				t.Errorf("got %s, want %s", c, whole)
			}
			break
		}
		if !errors.Is(err, boom) {
			t.Fatalf("step %d: got %v", failAt, err)
		}
		if ok, err := s.Has(whole); ok || err != nil {
			t.Errorf("step %d: the tree is there (%v)", failAt, err)
		}
	}
	if failAt < 6 {
		t.Errorf("only %d steps", failAt)
	}
	castest.CheckTree(t, castest.OnDisk{Store: s}, whole, want)
	castest.CheckTree(t, castest.OnDisk{Store: s}, root, tree)
	castest.Check(t, s)
}

// TestComposeLimits composes trees beyond the limits of the store.
func TestComposeLimits(t *testing.T) {
	file := func(at string) cas.Piece {
		return cas.Piece{Entry: cas.Entry{Path: at, Kind: cas.File}, Data: []byte("12345")}
	}
	for name, c := range map[string]struct {
		limits cid.Limits
		pieces []cas.Piece
	}{
		"entries": {cid.Limits{Entries: 3}, []cas.Piece{file("a"), file("b"), file("d/c")}},
		"depth":   {cid.Limits{Depth: 2}, []cas.Piece{file("1/2/3/a")}},
		"bytes":   {cid.Limits{Bytes: 14}, []cas.Piece{file("a"), file("b"), file("c")}},
	} {
		s := castest.Open(t, t.TempDir(), &cas.Options{Limits: c.limits})
		if _, err := s.Compose(t.Context(), c.pieces, nil); err != nil && !errors.Is(err, cid.ErrLimit) || err == nil {
			t.Errorf("%s: got %v", name, err)
		}
		tree := fstest.MapFS{}
		for _, p := range c.pieces {
			tree[p.Path] = &fstest.MapFile{Data: p.Data}
		}
		if _, err := s.Import(t.Context(), tree, nil); !errors.Is(err, cid.ErrLimit) {
			t.Errorf("%s: import: got %v", name, err)
		}
	}
}

// A piece that states another target than its link has is refused: the tree would state a wrong size, and no peer could receive it.
func TestComposeLinkTarget(t *testing.T) {
	s := castest.Open(t, t.TempDir(), nil)
	root, err := s.Import(t.Context(), fstest.MapFS{"link": {Data: []byte("there"), Mode: fs.ModeSymlink | 0o777}}, nil)
	must(t, err)
	link, _ := cid.Symlink("there")
	for target, fine := range map[string]bool{"there": true, "elsewhere": false} {
		piece := cas.Piece{Entry: cas.Entry{Path: "x", Kind: cas.Symlink, Target: target, CID: link}}
		if c, err := s.Compose(t.Context(), []cas.Piece{piece}, &cas.ComposeOptions{Parts: []cid.CID{root}}); (err == nil) != fine {
			t.Errorf("%s: got %s, %v", target, c, err)
		}
	}
}
