package castest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// RandomTree returns a small tree. Contents and names come from small pools, so trees have much in common.
func RandomTree(r *rand.Rand) fstest.MapFS {
	t := fstest.MapFS{}
	for range r.IntN(12) {
		name := fmt.Sprint("n", r.IntN(6))
		for range r.IntN(3) {
			name = fmt.Sprintf("d%d/%s", r.IntN(3), name)
		}
		f := &fstest.MapFile{Mode: 0o644}
		switch r.IntN(8) {
		case 0:
			f.Mode, f.Data = fs.ModeSymlink|0o777, fmt.Appendf(nil, "../n%d", r.IntN(6))
		case 1:
			f.Mode = 0o755
			f.Data = fmt.Appendf(nil, "content %d", r.IntN(20))
		case 2:
			f.Data = pattern(r.IntN(4), 1<<20+r.IntN(3)*(1<<19))
		case 3:
			p, _ := PID(r.IntN(5))
			f.Data = []byte("see " + p.String())
		case 4:
			f.Data = pattern(r.IntN(4), r.IntN(2)<<20)
			f.Mode = fs.FileMode(0o644 | r.IntN(2)*0o111)
		default:
			f.Data = fmt.Appendf(nil, "content %d", r.IntN(20))
		}
		t[name] = f
	}
	if r.IntN(4) == 0 {
		t[fmt.Sprint("e", r.IntN(3))] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
	}
	return t
}

// pattern returns n bytes that look random. For one seed, a shorter result is a prefix of a longer one.
func pattern(seed, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed)}).Read(b) //nolint:errcheck // never fails
	return b
}

// A Compare runs random operations on a store and on a model.
type Compare struct {
	// Store is compared with a Model. Reopen closes the store and opens it again; if it is nil, the store stays open.
	Store  Store
	Reopen func(t *testing.T, r *rand.Rand) Store

	model    *Model
	trees    []cid.CID
	releases []func() // of leases
}

// Run does n operations. Each result must equal the model's. Sometimes Run compares everything.
func (c *Compare) Run(t *testing.T, r *rand.Rand, n int) {
	t.Helper()
	c.model = NewModel()
	for i := range n {
		op := c.step(t, r)
		if i%25 == 24 || i == n-1 {
			c.everything(t)
		}
		if t.Failed() {
			t.Fatalf("after operation %d: %s", i, op)
		}
	}
}

// step does one random operation.
// Long: it is one switch with a case an operation, and the cases share their variables.
func (c *Compare) step(t *testing.T, r *rand.Rand) string {
	t.Helper()
	ctx := context.Background()
	p, b := PID(r.IntN(12))
	root := cid.Sum(cid.DagPB, []byte("absent"))
	if len(c.trees) > 0 && r.IntN(10) > 0 {
		root = c.trees[r.IntN(len(c.trees))]
	}
	name := fmt.Sprint("profile/", r.IntN(4))
	both := func(op string, do func(s Store) (any, error)) string {
		t.Helper()
		want, wantErr := do(c.model)
		got, gotErr := do(c.Store)
		same := cmp.Comparer(func(a, b cid.CID) bool { return a == b })
		if (wantErr == nil) != (gotErr == nil) || errors.Is(wantErr, cas.ErrNotFound) != errors.Is(gotErr, cas.ErrNotFound) {
			t.Errorf("%s: got error %v, want %v", op, gotErr, wantErr)
		} else if diff := cmp.Diff(want, got, same); wantErr == nil && diff != "" {
			t.Errorf("%s (-want +got):\n%s", op, diff)
		}
		return op
	}
	switch r.IntN(21) {
	case 0, 1, 2:
		tree := RandomTree(r)
		return both("import", func(s Store) (any, error) {
			got, err := s.Import(ctx, tree, nil)
			if s == c.Store && err == nil {
				c.trees = append(c.trees, got)
			}
			return got, err
		})
	case 19, 20:
		parts := []cid.CID{root}
		if len(c.trees) > 0 {
			parts = append(parts, c.trees[r.IntN(len(c.trees))])
		}
		pieces := randomPieces(r, c.model, parts)
		return both("compose", func(s Store) (any, error) {
			got, err := s.Compose(ctx, pieces, &cas.ComposeOptions{Parts: parts})
			if s == c.Store && err == nil {
				c.trees = append(c.trees, got)
			}
			return got, err
		})
	case 3, 4:
		ref, _ := PID(r.IntN(24))
		a := Attest(byte(r.IntN(3)), p, root, []pir.PID{ref}[:r.IntN(2)]...)
		return both(fmt.Sprintf("bind %s to %s", p, root), func(s Store) (any, error) { return nil, s.Bind(ctx, a) })
	case 5:
		return both("unbind", func(s Store) (any, error) { return nil, s.Unbind(ctx, p) })
	case 6:
		var origins []byte
		if r.IntN(2) == 0 {
			origins = fmt.Append(nil, r.IntN(100))
		}
		return both("put pir", func(s Store) (any, error) { return nil, s.PutPIR(ctx, p, b, origins) })
	case 7:
		made := time.Unix(r.Int64N(1000), 0)
		return both("put root", func(s Store) (any, error) {
			return nil, s.PutRoot(ctx, cas.Root{Name: name, CID: root, PID: p, Created: made})
		})
	case 8:
		return both("delete root", func(s Store) (any, error) { return nil, s.DeleteRoot(ctx, name) })
	case 9:
		path := strings.TrimPrefix(fmt.Sprintf("d%d/n%d", r.IntN(3), r.IntN(6)), "d0/")
		return both("lookup "+path, func(s Store) (any, error) { return s.Lookup(ctx, root, path) })
	case 10:
		var ids []pir.PID
		for i := range 5 {
			id, _ := PID(i)
			ids = append(ids, id)
		}
		return both("scan", func(s Store) (any, error) {
			got, err := s.ScanRefs(ctx, root, ids)
			return append([]pir.PID{}, got...), err
		})
	case 11:
		return both("block", func(s Store) (any, error) { return s.Block(ctx, root) })
	case 13, 14: // the model imports instead
		tree := RandomTree(r)
		return both("receive", func(s Store) (any, error) {
			to, ok := s.(Receiver)
			if !ok {
				return s.Import(ctx, tree, nil)
			}
			peer, got := Peer(tree)
			err := Receive(to, peer, got, r)
			if s == c.Store && err == nil {
				c.trees = append(c.trees, got)
			}
			return got, err
		})
	case 15:
		if r.IntN(3) == 0 {
			return c.collect(t, r)
		}
		at := time.Unix(int64(r.IntN(10))*24*3600, 0)
		return both("use", func(s Store) (any, error) { return nil, s.Use(ctx, at, p) })
	case 16:
		if len(c.releases) > 6 || len(c.releases) > 0 && r.IntN(3) == 0 {
			i := r.IntN(len(c.releases))
			c.releases[i]()
			c.releases = slices.Delete(c.releases, i, i+1)
			return "release"
		}
		trees, ids := []cid.CID{root}[:r.IntN(2)], []pir.PID{p}[:r.IntN(2)]
		one, other := c.model.Hold(trees, ids), c.Store.Hold(trees, ids)
		c.releases = append(c.releases, func() { one(); other() })
		return "hold"
	case 12:
		return both("has", func(s Store) (any, error) { return s.Has(root) })
	}
	if c.Reopen != nil && r.IntN(3) == 0 {
		for _, release := range c.releases { // leases end with the process
			release()
		}
		c.releases = nil
		c.Store = c.Reopen(t, r)
		return "reopen"
	}
	return "nothing"
}

// collect collects in both, first as a dry run, which must say what the collection then does.
func (c *Compare) collect(t *testing.T, r *rand.Rand) string {
	t.Helper()
	ctx := context.Background()
	o := &cas.CollectOptions{DryRun: true}
	if r.IntN(2) == 0 {
		o.Recent = time.Unix(int64(r.IntN(10))*24*3600, 0)
	}
	var results [3]cas.Collected
	for i, s := range []Store{c.Store, c.Store, c.model} {
		o.DryRun = i == 0
		got, err := s.Collect(ctx, o)
		if err != nil {
			t.Errorf("collect: %v", err)
		}
		got.Gone = protocol.SortRefs(got.Gone)
		results[i] = got
	}
	if diff := cmp.Diff(results[0], results[1]); diff != "" {
		t.Errorf("collect (-dry run +got):\n%s", diff)
	}
	results[2].Bytes = results[1].Bytes // the model knows no disk
	if diff := cmp.Diff(results[2], results[1]); diff != "" {
		t.Errorf("collect (-want +got):\n%s", diff)
	}
	c.trees = slices.DeleteFunc(c.trees, func(tree cid.CID) bool {
		_, there := c.model.trees[tree]
		if got, err := c.Store.Has(tree); !there && tree.Codec() == cid.DagPB && (got || err != nil) {
			t.Errorf("%s was not collected (%v)", tree, err)
		}
		return !there
	})
	c.everything(t)
	return "collect"
}

// everything compares the results of all queries.
func (c *Compare) everything(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	same := cmp.Options{
		cmp.Comparer(func(a, b cid.CID) bool { return a == b }),
		cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
	}
	compare := func(what string, ask func(s Store) any) {
		t.Helper()
		if diff := cmp.Diff(ask(c.model), ask(c.Store), same); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	compare("roots", func(s Store) any {
		roots, err := Collect(s.Roots())
		must(err)
		return roots
	})
	for i := range 12 {
		p, _ := PID(i)
		compare(fmt.Sprint("pid ", i), func(s Store) any {
			bound, err := s.CID(p)
			if !errors.Is(err, cas.ErrNotFound) {
				must(err)
			}
			canonical, origins, err := s.PIR(p)
			if !errors.Is(err, cas.ErrNotFound) {
				must(err)
			}
			atts, err := Collect(s.Attestations(p))
			must(err)
			said := map[string]bool{}
			for _, a := range atts {
				text, err := a.Encode()
				must(err)
				said[string(text)] = true
			}
			return []any{bound, string(canonical), string(origins), said}
		})
	}
	for _, root := range c.trees {
		compare(fmt.Sprint("tree ", root), func(s Store) any {
			entries, err := Collect(s.Entries(ctx, root))
			must(err)
			pids, err := Collect(s.PIDs(root))
			must(err)
			files := map[string]string{}
			for _, e := range entries {
				if e.Kind == cas.File {
					b, err := s.ReadFile(ctx, e.CID)
					must(err)
					files[e.Path] = string(b)
				}
			}
			return []any{entries, protocol.SortRefs(pids), files}
		})
	}
}

// Check reports each problem that the store finds in itself as a test error.
func Check(t testing.TB, s *cas.Store) {
	t.Helper()
	if err := s.Verify(context.Background(), func(p cas.Problem) { t.Errorf("verify: %s", p) }); err != nil {
		t.Errorf("verify: %v", err)
	}
}
