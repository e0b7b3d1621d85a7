package cas_test

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/cas/disk"
)

// dirtyPages asks the kernel how many pages of a file are in memory only.
func dirtyPages(t *testing.T, path string) uint64 {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close() //nolint:errcheck // it was only read
	var stat unix.Cachestat_t
	if err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &stat, 0); err != nil {
		t.Skipf("cachestat: %v", err)
	}
	return stat.Dirty + stat.Writeback
}

// When an import returns, its bytes are on disk: the kernel has nothing of any blob left to write.
// TestPowerLoss believes the store's word for what it has synced; this test does not.
func TestImportIsOnDisk(t *testing.T) {
	probe := filepath.Join(t.TempDir(), "probe")
	must(t, os.WriteFile(probe, make([]byte, 1<<20), 0o600))
	before := dirtyPages(t, probe)
	f, err := os.OpenFile(probe, os.O_RDWR, 0)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
	if after := dirtyPages(t, probe); before == 0 || after != 0 {
		t.Skipf("this file system does not tell: %d pages to write, %d after a sync", before, after)
	}
	many := fstest.MapFS{}
	for i := range 100 {
		many[fmt.Sprint(i)] = &fstest.MapFile{Data: fmt.Append(make([]byte, 5000), i)}
	}
	for name, tree := range map[string]fs.FS{
		"few files":  fstest.MapFS{"a": {Data: []byte("few")}, "b": {Data: make([]byte, 3<<20)}},
		"many files": many,
	} {
		dir := t.TempDir()
		// Within the import, when the store says that it has synced, nothing may be left to write either.
		s := castest.Open(t, dir, &cas.Options{Failpoint: func(step disk.Step, path string) error {
			if step == disk.StepRename {
				noneDirty(t, name+": named too early", filepath.Join(dir, "tmp", "imports", "*", "*", "*"))
			}
			return nil
		}})
		_, err := s.Import(context.Background(), tree, nil)
		must(t, err)
		noneDirty(t, name, filepath.Join(dir, "blobs", "*", "*"))
		must(t, s.Close())

		// So is a tree that was received, also what an earlier process has written of it.
		peer, root := castest.Peer(tree)
		dir = t.TempDir()
		s = castest.Open(t, dir, nil)
		r, err := s.Receive(context.Background(), root, nil)
		must(t, err)
		_, err = castest.Feed(r, peer, rand.New(rand.NewPCG(1, 1)), 50)
		must(t, err)
		must(t, s.Close())
		s = castest.Open(t, dir, &cas.Options{Failpoint: func(step disk.Step, path string) error {
			if step == disk.StepRename {
				noneDirty(t, name+": named too early", filepath.Join(dir, "tmp", "receive", "*", "part-*"))
			}
			return nil
		}})
		must(t, castest.Receive(s, peer, root, rand.New(rand.NewPCG(1, 1))))
		noneDirty(t, name+", received", filepath.Join(dir, "blobs", "*", "*"))
		must(t, s.Close())
	}
}

func noneDirty(t *testing.T, name, pattern string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	must(t, err)
	if len(files) == 0 {
		t.Errorf("%s: no files at %s", name, pattern)
	}
	for _, f := range files {
		if n := dirtyPages(t, f); n > 0 {
			t.Errorf("%s: %d pages of %s are not on disk", name, n, f)
		}
	}
}
