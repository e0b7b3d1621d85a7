package cas_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/pir/cid"
)

// damage changes a blob behind the store's back.
func damage(t *testing.T, path string, how func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	must(t, os.Chmod(path, 0o644))
	must(t, os.WriteFile(path, how(b), 0o644))
	must(t, os.Chmod(path, 0o444))
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte {
		b[(at+len(b))%len(b)] ^= 0x10
		return b
	}
}

// A damaged blob is never read: it is set aside, and importing the same content heals it.
func TestDamage(t *testing.T) {
	ctx := context.Background()
	for _, file := range []string{"share/same", "share/big", "bin/tool", "share/big.exec"} {
		for name, how := range map[string]func([]byte) []byte{
			"first bit": flip(0), "last bit": flip(-1), "middle": flip(1 << 20),
			"short":   func(b []byte) []byte { return b[:len(b)-1] },
			"long":    func(b []byte) []byte { return append(b, 0) },
			"empty":   func([]byte) []byte { return nil },
			"missing": nil,
		} {
			t.Run(filepath.Base(file)+"/"+name, func(t *testing.T) {
				dir := t.TempDir()
				var events []cas.Event
				s := castest.Open(t, dir, &cas.Options{Event: func(e cas.Event) { events = append(events, e) }})
				root, err := s.Import(ctx, castest.Tree(), nil)
				must(t, err)
				e, err := s.Lookup(ctx, root, file)
				must(t, err)
				path, err := s.BlobPath(e.CID) // this also looks at the bytes for the first time
				must(t, err)
				if how == nil {
					must(t, os.Remove(path))
				} else {
					damage(t, path, how)
				}
				for range 2 {
					if f, err := s.OpenFile(ctx, e.CID); !errors.Is(err, cas.ErrDamaged) {
						t.Errorf("open: got %v, %v", f, err)
					}
				}
				if _, err := s.BlobPath(e.CID); !errors.Is(err, cas.ErrDamaged) {
					t.Errorf("path: got %v", err)
				}
				if ok, err := s.Has(e.CID); ok || err != nil {
					t.Errorf("has: got %t, %v", ok, err)
				}
				missing, err := s.Missing(ctx, root)
				if must(t, err); len(missing) != 2 { // the file and its twin with or without the execute bit
					t.Errorf("missing: got %+v", missing)
				}
				if q, ok := last(events).(cas.Quarantined); !ok || (q.Path == "") != (how == nil) {
					t.Errorf("got events %v", events)
				}
				if list, err := os.ReadDir(filepath.Join(dir, "quarantine")); err != nil || (len(list) == 1) != (how != nil) {
					t.Errorf("quarantine holds %v, %v", list, err)
				}
				// Also after opening again.
				must(t, s.Close())
				s = castest.Open(t, dir, nil)
				if _, err := s.OpenFile(ctx, e.CID); !errors.Is(err, cas.ErrDamaged) {
					t.Errorf("open again: got %v", err)
				}
				again, err := s.Import(ctx, castest.Tree(), nil)
				if must(t, err); again != root {
					t.Errorf("got %s, want %s", again, root)
				}
				castest.CheckTree(t, castest.OnDisk{Store: s}, root, castest.Tree())
				castest.Check(t, s)
			})
		}
	}
}

func last(events []cas.Event) cas.Event {
	if len(events) == 0 {
		return nil
	}
	return events[len(events)-1]
}

// A leaf is compared with its own hash, and a damaged one brings its whole blob down.
func TestDamagedLeaf(t *testing.T) {
	ctx := context.Background()
	s := castest.Open(t, t.TempDir(), nil)
	root, err := s.Import(ctx, castest.Tree(), nil)
	must(t, err)
	e, err := s.Lookup(ctx, root, "share/big")
	must(t, err)
	b, err := s.Block(ctx, e.CID)
	must(t, err)
	n, err := cid.Decode(b)
	must(t, err)
	path, err := s.BlobPath(e.CID)
	must(t, err)
	damage(t, path, flip(1<<20+5))
	if _, err := s.Block(ctx, n.Links[0].CID); err != nil {
		t.Errorf("a whole leaf of a damaged blob: got %v", err)
	}
	if _, err := s.Block(ctx, n.Links[1].CID); !errors.Is(err, cas.ErrDamaged) {
		t.Errorf("a damaged leaf: got %v", err)
	}
	if _, err := s.OpenFile(ctx, e.CID); !errors.Is(err, cas.ErrDamaged) {
		t.Errorf("its file: got %v", err)
	}
}

// An import heals a damaged blob that nobody has read yet.
func TestImportHeals(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := castest.Open(t, dir, nil)
	root, err := s.Import(ctx, castest.Tree(), nil)
	must(t, err)
	must(t, s.Close())
	damageAll(t, dir)
	s = castest.Open(t, dir, nil)
	_, err = s.Import(ctx, castest.Tree(), nil)
	must(t, err)
	castest.CheckTree(t, castest.OnDisk{Store: s}, root, castest.Tree())
	castest.Check(t, s)
}

func damageAll(t *testing.T, dir string) {
	t.Helper()
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "*", "*"))
	must(t, err)
	for _, path := range blobs {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			damage(t, path, flip(3))
		}
	}
}

// Verify finds what nobody has read, and what has been read and was changed since without a trace.
func TestVerifyFinds(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := castest.Open(t, dir, nil)
	root, err := s.Import(ctx, castest.Tree(), nil)
	must(t, err)
	castest.Check(t, s)
	e, err := s.Lookup(ctx, root, "share/case")
	must(t, err)
	path, err := s.BlobPath(e.CID)
	must(t, err)
	damage(t, path, flip(2))
	var problems []cas.Problem
	must(t, s.Verify(ctx, func(p cas.Problem) { problems = append(problems, p) }))
	if len(problems) != 1 || !strings.Contains(problems[0].String(), filepath.Base(path)) {
		t.Errorf("got %v", problems)
	}
	if _, err := s.OpenFile(ctx, e.CID); !errors.Is(err, cas.ErrDamaged) {
		t.Errorf("got %v", err)
	}
}

// markIndex has the next Open rebuild the index.
func markIndex(t *testing.T, dir string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(dir, "index.damaged"), nil, 0o644))
}

// Verify finds records of the index that are wrong, and the store rebuilds the index when it is opened again.
func TestVerifyRepairs(t *testing.T) {
	ctx := context.Background()
	for name, tt := range map[string]struct {
		table byte
		value []byte // nil: the record is deleted
	}{
		"leaf":        {'b', []byte("no place")},
		"node":        {'n', []byte("no node")},
		"blob":        {'f', []byte{}},
		"pir":         {'p', []byte("no pir")},
		"attestation": {'a', []byte("no attestation")},
		"binding":     {'c', []byte("no cid")},
		"binder":      {'d', nil},
		"root":        {'g', []byte("no root")},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := castest.Open(t, dir, nil)
			must(t, importNumber(s, 1))
			root, err := s.Import(ctx, castest.Tree(), nil)
			must(t, err)
			must(t, s.PutRoot(ctx, cas.Root{Name: "kept", CID: root}))
			want := state(t, s)
			must(t, s.Close())
			changeRecord(t, dir, tt.table, tt.value)

			s = castest.Open(t, dir, nil)
			var problems []string
			must(t, s.Verify(ctx, func(p cas.Problem) { problems = append(problems, p.String()) }))
			if len(problems) < 2 || !strings.Contains(problems[len(problems)-1], "rebuild") {
				t.Errorf("got problems %q, want one of the record and one of the index", problems)
			}
			must(t, s.Close())
			var rebuilt bool
			s = castest.Open(t, dir, &cas.Options{Event: func(e cas.Event) {
				r, ok := e.(cas.Rebuilding)
				rebuilt = rebuilt || ok && r.Done
			}})
			if !rebuilt {
				t.Error("the index was not rebuilt")
			}
			castest.Check(t, s)
			same := cmp.Comparer(func(a, b cid.CID) bool { return a == b })
			if diff := cmp.Diff(want, state(t, s), same); diff != "" {
				t.Errorf("after the rebuild (-want +got):\n%s", diff)
			}
		})
	}
	// A rebuild does not find lost content again, so lost content is no damage of the index.
	for name, lose := range map[string]func(dir string){
		"damaged": func(dir string) { damageAll(t, dir) },
		"lost": func(dir string) {
			changeRecord(t, dir, 'f', nil)
			must(t, os.RemoveAll(filepath.Join(dir, "blobs")))
		},
	} {
		dir := t.TempDir()
		s := castest.Open(t, dir, nil)
		_, err := s.Import(ctx, fstest.MapFS{"file": {Data: []byte("content"), Mode: 0o755}}, nil)
		must(t, err)
		must(t, s.Close())
		lose(dir)
		s = castest.Open(t, dir, nil)
		problems := 0
		must(t, s.Verify(ctx, func(cas.Problem) { problems++ }))
		if _, err := os.Lstat(filepath.Join(dir, "index.damaged")); !errors.Is(err, fs.ErrNotExist) || problems == 0 {
			t.Errorf("%s: got %d problems and %v, want some, and no mark on the index", name, problems, err)
		}
	}
}

// changeRecord changes the first record of a table behind the store's back.
func changeRecord(t *testing.T, dir string, table byte, value []byte) {
	t.Helper()
	db, err := pebble.Open(filepath.Join(dir, "index"), &pebble.Options{FormatMajorVersion: pebble.FormatNewest})
	must(t, err)
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{table}, UpperBound: []byte{table + 1}})
	must(t, err)
	if !it.First() {
		t.Fatalf("no record in table %c", table)
	}
	key := bytes.Clone(it.Key())
	must(t, it.Close())
	if value == nil {
		must(t, db.Delete(key, pebble.Sync))
	} else {
		must(t, db.Set(key, value, pebble.Sync))
	}
	must(t, db.Close())
}

// state is everything a store says about itself.
func state(t *testing.T, s *cas.Store) []any {
	t.Helper()
	var all []any
	st, err := s.Stats(context.Background())
	must(t, err)
	all = append(all, st)
	bindings, err := castest.Collect(s.Bindings())
	must(t, err)
	for _, b := range bindings {
		entries, err := castest.Collect(s.Entries(context.Background(), b.CID))
		must(t, err)
		pids, err := castest.Collect(s.PIDs(b.CID))
		must(t, err)
		atts, err := castest.Collect(s.Attestations(b.PID))
		must(t, err)
		p, o, err := s.PIR(b.PID)
		must(t, err)
		all = append(all, b, entries, pids, atts, string(p), string(o))
	}
	roots, err := castest.Collect(s.Roots())
	must(t, err)
	return append(all, roots)
}

// Whatever happens to the index, the store makes it anew and knows what it knew.
func TestRebuild(t *testing.T) {
	ctx := context.Background()
	index := func(pattern string, do func(t *testing.T, path string)) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			paths, err := filepath.Glob(filepath.Join(dir, "index", pattern))
			must(t, err)
			if len(paths) == 0 {
				t.Skipf("no %s in the index", pattern)
			}
			for _, p := range paths {
				do(t, p)
			}
		}
	}
	remove := func(t *testing.T, path string) { must(t, os.Remove(path)) }
	zero := func(t *testing.T, path string) {
		info, err := os.Stat(path)
		must(t, err)
		must(t, os.WriteFile(path, make([]byte, info.Size()), 0o644))
	}
	empty := func(t *testing.T, path string) { must(t, os.Truncate(path, 0)) }
	for name, hurt := range map[string]func(*testing.T, string){
		"deleted":        func(t *testing.T, dir string) { must(t, os.RemoveAll(filepath.Join(dir, "index"))) },
		"marked":         markIndex,
		"no manifest":    index("MANIFEST-*", remove),
		"zero manifest":  index("MANIFEST-*", zero),
		"empty manifest": index("MANIFEST-*", empty),
		"no tables":      index("*.sst", remove),
		"zero tables":    index("*.sst", zero),
		"zero options":   index("OPTIONS-*", zero),
		"index and torn journal": func(t *testing.T, dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, "index")))
			paths, err := filepath.Glob(filepath.Join(dir, "meta", "*"))
			must(t, err)
			f, err := os.OpenFile(paths[0], os.O_APPEND|os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteString("\x09\x00\x00\x00torn")
			must(t, err)
			must(t, f.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := castest.Open(t, dir, nil)
			for i := range 30 {
				must(t, importNumber(s, i))
			}
			root, err := s.Import(ctx, castest.Tree(), nil)
			must(t, err)
			must(t, s.PutRoot(ctx, cas.Root{Name: "kept", CID: root}))
			must(t, s.PutRoot(ctx, cas.Root{Name: "gone", CID: root}))
			must(t, s.DeleteRoot(ctx, "gone"))
			p, _ := castest.PID(3)
			must(t, s.Unbind(ctx, p))
			p, _ = castest.PID(4)
			must(t, s.Bind(ctx, castest.Attest(2, p, root)))
			must(t, s.Close())
			s = castest.Open(t, dir, nil) // flushes the index to tables
			want := state(t, s)
			must(t, s.Close())

			hurt(t, dir)
			s = castest.Open(t, dir, nil)
			same := cmp.Comparer(func(a, b cid.CID) bool { return a == b })
			if diff := cmp.Diff(want, state(t, s), same); diff != "" {
				t.Errorf("after the rebuild (-want +got):\n%s", diff)
			}
			castest.Check(t, s)
			castest.CheckTree(t, castest.OnDisk{Store: s}, root, castest.Tree())
			must(t, importNumber(s, 100))
		})
	}
}

// A rebuild sets damaged blobs aside, and they heal as others do.
func TestRebuildDamaged(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := castest.Open(t, dir, nil)
	root, err := s.Import(ctx, castest.Tree(), nil)
	must(t, err)
	must(t, s.Close())
	damageAll(t, dir)
	must(t, os.RemoveAll(filepath.Join(dir, "index")))
	var done cas.Rebuilding
	s = castest.Open(t, dir, &cas.Options{Event: func(e cas.Event) {
		if r, ok := e.(cas.Rebuilding); ok && r.Done {
			done = r
		}
	}})
	if done.Quarantined < 5 || done.Blobs != 1 { // the empty one
		t.Errorf("got %+v", done)
	}
	for e, err := range s.Entries(ctx, root) {
		if must(t, err); e.Kind != cas.File || e.Size == 0 {
			continue
		}
		if _, err := s.OpenFile(ctx, e.CID); !errors.Is(err, cas.ErrDamaged) {
			t.Errorf("%s: got %v", e.Path, err)
		}
	}
	_, err = s.Import(ctx, castest.Tree(), nil)
	must(t, err)
	castest.CheckTree(t, castest.OnDisk{Store: s}, root, castest.Tree())
	castest.Check(t, s)
}

// A second process is refused, with the number of the first.
func TestLocked(t *testing.T) {
	dir := t.TempDir()
	s := castest.Open(t, dir, nil)
	_, err := cas.Open(dir, nil)
	if !errors.Is(err, cas.ErrLocked) || !strings.Contains(err.Error(), "process") {
		t.Errorf("got %v, want %v", err, cas.ErrLocked)
	}
	must(t, s.Close())
	must(t, s.Close())
	if _, err := s.Has(cid.CID{}); !errors.Is(err, cas.ErrClosed) {
		t.Errorf("after close: got %v", err)
	}
	castest.Open(t, dir, nil)
}

// What is exported is what was imported.
func TestExport(t *testing.T) {
	ctx := context.Background()
	s := castest.Open(t, t.TempDir(), nil)
	root, err := s.Import(ctx, castest.Tree(), nil)
	must(t, err)
	dir := filepath.Join(t.TempDir(), "out")
	must(t, s.Export(ctx, root, dir))
	again, err := cid.HashTree(ctx, os.DirFS(dir), nil)
	if must(t, err); again != root {
		t.Errorf("got %s, want %s", again, root)
	}
	if err := s.Export(ctx, root, dir); err == nil {
		t.Error("into a full directory: got no error")
	}
	for path, kind := range map[string]fs.FileMode{"bin/tool": 0, "bin/sh": fs.ModeSymlink} {
		e, err := s.Lookup(ctx, root, path)
		must(t, err)
		out := filepath.Join(t.TempDir(), "one")
		must(t, s.Export(ctx, e.CID, out))
		info, err := os.Lstat(out)
		if must(t, err); info.Mode().Type() != kind || kind == 0 && info.Mode()&0o111 == 0 {
			t.Errorf("%s: got %s", path, info.Mode())
		}
	}
}
