package cas_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/pir/cid"
)

func numberedTree(i int) fs.FS { return castest.NumberedTree(i, 55, 0o644) }

var errPower = errors.New("power cut")

// A cutDisk follows what a store does to its files, and knows what a power cut may undo:
// bytes that were not synced, and names whose folder was not.
type cutDisk struct {
	cutAt, steps int
	off          bool

	unsynced map[string]bool // new files with bytes that may be lost
	named    []string        // blobs whose names may be lost
	hollow   map[string]bool // named blobs with bytes that may be lost
	pending  disk.Step       // a sync that was begun, and is done when the next step comes
	order    []disk.Step
}

func newCutDisk(cutAt int) *cutDisk {
	return &cutDisk{cutAt: cutAt, unsynced: map[string]bool{}, hollow: map[string]bool{}}
}

// step is a cas.Options.Failpoint. One worker only: it has no lock.
func (d *cutDisk) step(step disk.Step, path string) error {
	d.steps++
	if d.off || d.steps == d.cutAt {
		d.off = true
		return errPower
	}
	switch d.pending {
	case disk.StepSync:
		clear(d.unsynced)
	case disk.StepSyncDir:
		d.named = nil
	}
	d.pending = step
	d.order = append(d.order, step)
	switch step {
	case disk.StepCreate:
		d.unsynced[path] = true
		if strings.Contains(path, "/blobs/") {
			d.named = append(d.named, path)
		}
	case disk.StepRename:
		d.named = append(d.named, path)
		if len(d.unsynced) > 0 {
			d.hollow[path] = true
		}
	}
	return nil
}

// lose undoes at random what was not made durable.
func (d *cutDisk) lose(t *testing.T, r *rand.Rand, dir string, journalFloor int64) {
	t.Helper()
	for path := range d.unsynced {
		if strings.Contains(path, "/blobs/") || strings.Contains(path, "/part-") || strings.Contains(path, "/leaf-") {
			d.hollow[path] = true
		}
	}
	for path := range d.hollow {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 && r.IntN(2) == 0 {
			must(t, os.Chmod(path, 0o644))
			must(t, os.Truncate(path, r.Int64N(info.Size())))
		}
	}
	for _, path := range d.named {
		if r.IntN(2) == 0 {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
	}
	// What a Receiving writes down is not synced either, and it does not get to close anything.
	for _, name := range []string{"nodes", "placed", "clean"} {
		logs, err := filepath.Glob(filepath.Join(dir, "tmp", "receive", "*", name))
		must(t, err)
		for _, path := range logs {
			info, err := os.Stat(path)
			must(t, err)
			switch {
			case name == "clean":
				must(t, os.Remove(path))
			case info.Size() > 0 && r.IntN(2) == 0:
				must(t, os.Truncate(path, r.Int64N(info.Size())))
			case info.Size() > 0 && r.IntN(2) == 0:
				f, err := os.OpenFile(path, os.O_WRONLY, 0)
				must(t, err)
				_, err = f.WriteAt(make([]byte, 50), r.Int64N(info.Size()))
				must(t, err)
				must(t, f.Close())
			}
		}
	}
	journals, err := filepath.Glob(filepath.Join(dir, "meta", "journal-*"))
	must(t, err)
	for _, j := range journals {
		info, err := os.Stat(j)
		must(t, err)
		if tail := info.Size() - journalFloor; tail > 0 {
			switch r.IntN(3) {
			case 0:
				must(t, os.Truncate(j, journalFloor+r.Int64N(tail)))
			case 1: // the length was written and the bytes were not
				f, err := os.OpenFile(j, os.O_WRONLY, 0)
				must(t, err)
				_, err = f.WriteAt(make([]byte, tail), journalFloor)
				must(t, err)
				must(t, f.Close())
			}
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func journalSize(t *testing.T, dir string) int64 {
	t.Helper()
	journals, err := filepath.Glob(filepath.Join(dir, "meta", "journal-*"))
	must(t, err)
	var size int64
	for _, j := range journals {
		info, err := os.Stat(j)
		must(t, err)
		size = max(size, info.Size())
	}
	return size
}

// The power is cut at any step of imports, binds and collections, over and over on one store,
// and takes with it what was not synced: of the index, of blobs, of names, of the journal.
// What had got a root is bound and whole, what had not may be, and nothing is half there.
func TestPowerLoss(t *testing.T) {
	cuts := 60
	if testing.Short() { // such as with the race detector
		cuts = 8
	}
	if os.Getenv("NUKA_LONG") != "" {
		cuts = 600
	}
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(3, 4))
	mem := vfs.NewCrashableMem()
	bound, next := -1, 0
	inside := 0
	for cut := range cuts {
		d := newCutDisk(1 + r.IntN(120))
		s, err := cas.Open(dir, &cas.Options{Index: index.Options{FS: mem, JournalSlack: 4000}, Failpoint: d.step, Workers: 1})
		floor := journalSize(t, dir)
		for err == nil {
			if err = importNumber(s, next); err == nil {
				bound = next
				next++
			}
			if err == nil && next%4 == 0 {
				_, err = s.Collect(context.Background(), nil)
			}
		}
		if !errors.Is(err, errPower) {
			t.Fatalf("cut %d: %v", cut, err)
		}
		if n := len(d.order); n > 0 && d.order[n-1] != disk.StepRemove {
			inside++
		}
		after := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
		if s != nil {
			s.Close() // of the machine that is off; the clone does not see it
		}
		// Closing syncs the journal and finishes the index in the old memory; the disk must not profit from that.
		d.lose(t, r, dir, floor)
		mem = after

		s, err = cas.Open(dir, &cas.Options{Index: index.Options{FS: mem}})
		if err != nil {
			t.Fatalf("cut %d: %v", cut, err)
		}
		castest.Check(t, s)
		for i := max(0, bound-10); i <= next; i++ {
			p, _ := castest.PID(i)
			c, err := s.CID(p)
			if errors.Is(err, cas.ErrNotFound) {
				if i <= bound && i%3 == 0 { // others may be collected
					t.Errorf("package %d was bound and is not", i)
				}
				continue
			}
			must(t, err)
			castest.CheckTree(t, castest.OnDisk{Store: s}, c, numberedTree(i))
			next = max(next, i+1)
			must(t, rootNumber(s, i, c)) // the cut may have come before it
		}
		must(t, s.Close())
		if t.Failed() {
			t.Fatalf("cut %d at step %d, after %v", cut, d.cutAt, d.order[max(0, len(d.order)-12):])
		}
	}
	t.Logf("%d cuts, %d inside an import or bind, %d packages", cuts, inside, next)
}

func importNumber(s *cas.Store, i int) error {
	ctx := context.Background()
	l := s.Lease("a numbered tree")
	defer l.Release()
	c, err := castest.TakeNumber(s, i, numberedTree(i), uint64(i), l)
	if err != nil {
		return err
	}
	p, b := castest.PID(i)
	if err := s.PutPIR(ctx, p, b, nil); err != nil {
		return err
	}
	if err := s.Bind(ctx, castest.Attest(1, p, c)); err != nil {
		return err
	}
	return rootNumber(s, i, c)
}

// rootNumber puts a root for every third number.
func rootNumber(s *cas.Store, i int, c cid.CID) error {
	if i%3 != 0 {
		return nil
	}
	p, _ := castest.PID(i)
	return s.PutRoot(context.Background(), cas.Root{Name: fmt.Sprint("root/", i), CID: c, PID: p})
}

// An import syncs bytes before names, and names before the commit that tells of them.
func TestOrder(t *testing.T) {
	d := newCutDisk(-1)
	s := castest.Open(t, t.TempDir(), &cas.Options{Failpoint: d.step, Workers: 1})
	d.order = nil
	c, err := s.Import(context.Background(), castest.Tree(), nil)
	must(t, err)
	var got []string
	for _, step := range d.order {
		if n := len(got); n == 0 || got[n-1] != string(step) {
			got = append(got, string(step))
		}
	}
	text := strings.Join(got, " ")
	for text != strings.ReplaceAll(text, "create write create write", "create write") {
		text = strings.ReplaceAll(text, "create write create write", "create write")
	}
	if want := "create write sync rename syncdir journal commit remove"; text != want {
		t.Errorf("got %s, want %s", text, want)
	}
	p, _ := castest.PID(1)
	d.order = nil
	must(t, s.Bind(context.Background(), castest.Attest(1, p, c)))
	if got := fmt.Sprint(d.order); got != "[journal commit]" {
		t.Errorf("bind: got %s", got)
	}
}

// Any step of an import may fail: the error comes up, nothing of the tree is there, and the store goes on.
func TestStepFails(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	boom := fmt.Errorf("no luck")
	failAt, steps, named := -1, 0, false
	o := &cas.Options{Workers: 1, Failpoint: func(step disk.Step, _ string) error {
		steps++
		if steps == failAt && step != disk.StepRemove {
			named = step != disk.StepCreate && step != disk.StepWrite && step != disk.StepSync
			return boom
		}
		return nil
	}}
	s := castest.Open(t, dir, o)
	want, err := cid.HashTree(ctx, castest.Tree(), nil)
	must(t, err)
	for failAt = 1; ; failAt++ {
		steps = 0
		c, err := s.Import(ctx, castest.Tree(), nil)
		if err == nil {
			if c != want {
				t.Errorf("got %s, want %s", c, want)
			}
			break
		}
		if !errors.Is(err, boom) {
			t.Fatalf("step %d: got %v", failAt, err)
		}
		if ok, err := s.Has(want); ok || err != nil {
			t.Errorf("step %d: the tree is there (%v)", failAt, err)
		}
		st, err := s.Stats(ctx)
		if must(t, err); st.Files != 0 || st.Nodes != 0 {
			t.Errorf("step %d: got %+v", failAt, st)
		}
		// What may have a name but no commit waits for the next Open; before that everything is gone at once.
		blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "*", "*"))
		must(t, err)
		temporary, err := filepath.Glob(filepath.Join(dir, "tmp", "imports", "*"))
		if must(t, err); (len(temporary) > 0) != named {
			t.Errorf("step %d: left over: %q", failAt, temporary)
		}
		if !named && len(blobs) > 0 {
			t.Errorf("step %d: left over: %q", failAt, blobs)
		}
		if named {
			steps = failAt // so that none fails
			must(t, s.Close())
			s = castest.Open(t, dir, o)
			if blobs, err = filepath.Glob(filepath.Join(dir, "blobs", "*", "*")); err != nil || len(blobs) > 0 {
				t.Errorf("step %d: left over after opening again: %q, %v", failAt, blobs, err)
			}
		}
	}
	if failAt < 20 {
		t.Errorf("only %d steps", failAt)
	}
	castest.CheckTree(t, castest.OnDisk{Store: s}, want, castest.Tree())
	castest.Check(t, s)
	must(t, s.Close())
	s = castest.Open(t, dir, nil) // sweeps
	castest.CheckTree(t, castest.OnDisk{Store: s}, want, castest.Tree())
}

// Two imports of the same content at once, one of which fails after it has made its files: the other's stay,
// whichever was first.
func TestFailedImportLeavesTheOthers(t *testing.T) {
	ctx := context.Background()
	tree := castest.Tree()
	for _, firstFails := range []bool{true, false} {
		boom := errors.New("no luck")
		placed, proceed := make(chan struct{}), make(chan struct{})
		var syncs atomic.Int32
		s := castest.Open(t, t.TempDir(), &cas.Options{Failpoint: func(step disk.Step, _ string) error {
			if step != disk.StepSync {
				return nil
			}
			first := syncs.Add(1) == 1
			if first { // all its files are made; now the second one runs from begin to end
				close(placed)
				<-proceed
			} else if !firstFails {
				close(proceed) // the second one fails, and clears up when the first one is done
			}
			if first == firstFails {
				return boom
			}
			return nil
		}})
		results := make(chan error, 1)
		go func() {
			_, err := s.Import(ctx, tree, nil)
			results <- err
		}()
		<-placed
		root, second := s.Import(ctx, tree, nil)
		if firstFails {
			close(proceed)
		}
		first := <-results
		if errors.Is(first, boom) != firstFails || errors.Is(second, boom) == firstFails {
			t.Fatalf("first fails %v: got %v and %v", firstFails, first, second)
		}
		if !firstFails {
			var err error
			root, err = cid.HashTree(ctx, tree, nil)
			must(t, err)
		}
		castest.CheckTree(t, castest.OnDisk{Store: s}, root, tree)
		castest.Check(t, s)
		must(t, s.Close())
	}
}

// Where a blob belongs lies something that the index does not know, such as what a power cut has left: it is replaced.
func TestNameIsTaken(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := castest.Open(t, dir, nil)
	root, err := s.Import(ctx, castest.Tree(), nil)
	must(t, err)
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "*", "*"))
	must(t, err)
	must(t, s.Close())
	other := t.TempDir()
	for _, path := range blobs {
		rel, err := filepath.Rel(dir, path)
		must(t, err)
		must(t, os.MkdirAll(filepath.Join(other, filepath.Dir(rel)), 0o755))
	}
	s = castest.Open(t, other, nil)
	for _, path := range blobs {
		rel, err := filepath.Rel(dir, path)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(other, rel), []byte("half"), 0o444))
	}
	again, err := s.Import(ctx, castest.Tree(), nil)
	if must(t, err); again != root {
		t.Errorf("got %s, want %s", again, root)
	}
	castest.CheckTree(t, castest.OnDisk{Store: s}, root, castest.Tree())
	castest.Check(t, s)
}
