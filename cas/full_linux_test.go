package cas_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/internal/skip"
	"github.com/MordragT/nuka/pir/cid"
)

// smallDisk mounts a file system of so many MiB, or skips the test.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	if os.Getuid() != 0 {
		skip.Wall(t, "mounting a small file system needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", size)); err != nil {
		skip.Wall(t, "mount a tmpfs:", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) }) //nolint:errcheck // the folder goes anyway
	return dir
}

// On a full disk an import fails cleanly, leaves nothing, and the store goes on; so do records.
func TestFullDisk(t *testing.T) {
	ctx := context.Background()
	disk := smallDisk(t, 64)
	dir := filepath.Join(disk, "store")
	s := castest.Open(t, dir, nil)
	small := fstest.MapFS{"small": {Data: []byte("small")}}
	kept, err := s.Import(ctx, castest.Tree(), nil)
	must(t, err)

	large := fstest.MapFS{"large": {Data: make([]byte, 100<<20)}}
	many := fstest.MapFS{}
	for i := range 2000 {
		many[fmt.Sprintf("f%d", i)] = &fstest.MapFile{Data: fmt.Append(make([]byte, 40<<10), i)}
	}
	for name, tree := range map[string]fstest.MapFS{"large": large, "many": many} {
		before, err := s.Stats(ctx)
		must(t, err)
		used := usage(t, disk)
		if _, err := s.Import(ctx, tree, nil); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("%s: got %v, want %v", name, err, syscall.ENOSPC)
		}
		after, err := s.Stats(ctx)
		must(t, err)
		if before != after {
			t.Errorf("%s: got %+v, want %+v", name, after, before)
		}
		if now := usage(t, disk); now > used+4<<20 {
			t.Errorf("%s: %d bytes are left over", name, now-used)
		}
		castest.Check(t, s)
	}

	// Others fill the disk to the last byte.
	fill, err := os.Create(filepath.Join(disk, "fill"))
	must(t, err)
	for chunk := 1 << 20; chunk > 0; chunk /= 4096 {
		for {
			if _, err := fill.Write(make([]byte, chunk)); err != nil {
				break
			}
		}
	}
	p, b := castest.PID(1)
	c, err := cid.HashTree(ctx, small, nil)
	must(t, err)
	for name, do := range map[string]func() error{
		"import": func() error { _, err := s.Import(ctx, small, nil); return err },
		"pir":    func() error { return s.PutPIR(ctx, p, b, nil) },
		"bind":   func() error { return s.Bind(ctx, castest.Attest(1, p, kept)) },
		"root":   func() error { return s.PutRoot(ctx, cas.Root{Name: "r", CID: kept}) },
	} {
		if err := do(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: got %v, want %v", name, err, syscall.ENOSPC)
		}
	}
	if ok, err := s.Has(c); ok || err != nil {
		t.Errorf("has: got %t, %v", ok, err)
	}
	castest.CheckTree(t, castest.OnDisk{Store: s}, kept, castest.Tree())

	must(t, fill.Close())
	must(t, os.Remove(fill.Name()))
	got, err := s.Import(ctx, small, nil)
	if must(t, err); got != c {
		t.Errorf("got %s, want %s", got, c)
	}
	must(t, s.Bind(ctx, castest.Attest(1, p, kept)))
	castest.Check(t, s)
	must(t, s.Close())
	s = castest.Open(t, dir, nil)
	castest.CheckTree(t, castest.OnDisk{Store: s}, kept, castest.Tree())
	castest.Check(t, s)
}

// A root can be removed, and the store opened and closed, with not one byte free.
func TestFullDiskRemove(t *testing.T) {
	ctx := context.Background()
	disk := smallDisk(t, 64)
	dir := filepath.Join(disk, "store")
	s := castest.Open(t, dir, nil)
	kept, err := s.Import(ctx, castest.Tree(), nil)
	must(t, err)
	for i := range 50 {
		must(t, s.PutRoot(ctx, cas.Root{Name: fmt.Sprint(i), CID: kept}))
	}
	fill, err := os.Create(filepath.Join(disk, "fill"))
	must(t, err)
	for chunk := 1 << 20; chunk > 0; chunk /= 4096 {
		for {
			if _, err := fill.Write(make([]byte, chunk)); err != nil {
				break
			}
		}
	}
	must(t, fill.Close())
	for i := range 25 {
		must(t, s.DeleteRoot(ctx, fmt.Sprint(i)))
	}
	must(t, s.Close())
	s = castest.Open(t, dir, nil)
	for i := 25; i < 50; i++ {
		must(t, s.DeleteRoot(ctx, fmt.Sprint(i)))
	}
	castest.CheckTree(t, castest.OnDisk{Store: s}, kept, castest.Tree())
}

func usage(t *testing.T, dir string) int64 {
	t.Helper()
	var st unix.Statfs_t
	must(t, unix.Statfs(dir, &st))
	return int64(st.Blocks-st.Bfree) * int64(st.Bsize)
}

// On a full disk receiving fails cleanly, goes on when there is room, and can be given up.
func TestFullDiskReceive(t *testing.T) {
	ctx := context.Background()
	disk := smallDisk(t, 96)
	s := castest.Open(t, filepath.Join(disk, "store"), nil)
	random := make([]byte, 60<<20)
	rand.NewChaCha8([32]byte{5}).Read(random) //nolint:errcheck // never fails
	many := fstest.MapFS{}
	for i := range 1500 {
		many[fmt.Sprintf("f%d", i)] = &fstest.MapFile{Data: random[i*40<<10:][:40<<10]}
	}
	for name, tree := range map[string]fstest.MapFS{"large": {"large": {Data: random}}, "many": many} {
		p := newPeer(t, tree)
		fill := filepath.Join(disk, "fill")
		must(t, os.WriteFile(fill, make([]byte, 30<<20), 0o644))
		used := usage(t, disk)
		for round := range 3 {
			r, err := s.Receive(ctx, p.root, nil)
			must(t, err)
			if _, err = castest.Feed(r, p.s, rand.New(rand.NewPCG(1, 1)), 1<<20); err == nil {
				err = r.Finish(ctx)
			}
			if full := round < 2; errors.Is(err, syscall.ENOSPC) != full || !full && err != nil {
				t.Fatalf("%s, round %d: got %v", name, round, err)
			}
			if ok, err := s.Has(p.root); ok != (round == 2) || err != nil {
				t.Errorf("%s, round %d: has: got %t, %v", name, round, ok, err)
			}
			switch round {
			case 0: // given up
				must(t, r.Discard())
				if now := usage(t, disk); now > used+4<<20 {
					t.Errorf("%s: %d bytes are left over", name, now-used)
				}
			case 1: // goes on
				must(t, r.Close())
				must(t, os.Remove(fill))
			}
		}
		castest.CheckTree(t, castest.OnDisk{Store: s}, p.root, tree)
		castest.Check(t, s)
		must(t, s.Close())
		must(t, os.RemoveAll(filepath.Join(disk, "store")))
		s = castest.Open(t, filepath.Join(disk, "store"), nil)
	}
}

// A collection works with not one byte free, also in a store that was opened then.
func TestFullDiskCollect(t *testing.T) {
	ctx := context.Background()
	const files = 4500 // some 54 MB, of which the ballast, a log of the index and the room that the index wants take up to 44
	for _, reopen := range []bool{false, true} {
		disk := smallDisk(t, 96)
		dir := filepath.Join(disk, "store")
		s := castest.Open(t, dir, nil)
		kept, err := s.Import(ctx, castest.Tree(), nil)
		must(t, err)
		must(t, s.PutRoot(ctx, cas.Root{Name: "kept", CID: kept}))
		many := fstest.MapFS{}
		for i := range files {
			many[fmt.Sprintf("d%d/f%d", i/10, i)] = &fstest.MapFile{Data: fmt.Append(make([]byte, 8<<10), i)}
		}
		_, err = s.Import(ctx, many, nil)
		must(t, err)
		fill, err := os.Create(filepath.Join(disk, "fill"))
		must(t, err)
		full := func() {
			for chunk := 1 << 20; chunk > 0; chunk /= 4096 {
				for {
					if _, err := fill.Write(make([]byte, chunk)); err != nil {
						break
					}
				}
			}
		}
		full()
		if reopen {
			must(t, s.Close())
			s = castest.Open(t, dir, nil)
			full()
		}
		want, err := s.Collect(ctx, &cas.CollectOptions{DryRun: true})
		must(t, err)
		got, err := s.Collect(ctx, nil)
		if must(t, err); got.Blobs != files || got.Bytes != want.Bytes || got.Bytes < files*8<<10 {
			t.Errorf("got %+v, want %d blobs and %d bytes", got, files, want.Bytes)
		}
		castest.Check(t, s)
		castest.CheckTree(t, castest.OnDisk{Store: s}, kept, castest.Tree())
		_, err = s.Import(ctx, fstest.MapFS{"new": {Data: []byte("new")}}, nil)
		must(t, err)
		must(t, fill.Close())
		must(t, s.Close())
	}
}

// A collection on a full disk has more to record than the index has room for, and the ballast is gone: it removes files of dead blobs first.
func TestFullDiskCollectRoots(t *testing.T) {
	ctx := context.Background()
	disk := smallDisk(t, 96)
	dir := filepath.Join(disk, "store")
	s := castest.Open(t, dir, nil)
	kept, err := s.Import(ctx, castest.Tree(), nil)
	must(t, err)
	must(t, s.PutRoot(ctx, cas.Root{Name: "kept", CID: kept}))
	dead, err := s.Import(ctx, fstest.MapFS{"large": {Data: make([]byte, 20<<20)}}, nil)
	must(t, err)
	var roots []cas.Root
	var names []string
	for i := range 20_000 {
		names = append(names, fmt.Sprintf("%0200d", i))
		roots = append(roots, cas.Root{Name: names[i], CID: dead})
	}
	must(t, s.ChangeRoots(ctx, roots, nil))
	must(t, os.Remove(filepath.Join(dir, "ballast")))
	fill, err := os.Create(filepath.Join(disk, "fill"))
	must(t, err)
	for chunk := 1 << 20; chunk > 0; chunk /= 4096 {
		for {
			if _, err := fill.Write(make([]byte, chunk)); err != nil {
				break
			}
		}
	}
	_, err = s.Collect(ctx, &cas.CollectOptions{Drop: names})
	must(t, err)
	if ok, err := s.Has(dead); ok || err != nil {
		t.Errorf("the dead tree: got %v, %v", ok, err)
	}
	castest.Check(t, s)
	castest.CheckTree(t, castest.OnDisk{Store: s}, kept, castest.Tree())
	must(t, fill.Close())
	must(t, s.Close())
}
