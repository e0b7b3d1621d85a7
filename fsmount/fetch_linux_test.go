package fsmount_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/fsmount"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// blob returns the path of the blob of a file.
func blob(t *testing.T, s *cas.Store, root cid.CID, path string) string {
	t.Helper()
	e, err := s.Lookup(t.Context(), root, path)
	if err != nil {
		t.Fatal(err)
	}
	name, err := s.BlobPath(e.CID)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// TestFetch opens files whose blobs are missing. They are fetched once for all waiters. A waiter that is killed ends at once, the fetch goes on, and
// other files can be opened meanwhile. If a fetch fails, the waiters get EIO.
func TestFetch(t *testing.T) {
	tree := fstest.MapFS{"lost": {Data: []byte("lost and found"), Mode: 0o644}, "here": {Data: []byte("here"), Mode: 0o644}}
	var calls atomic.Int32
	release := make(chan error)
	var m *mounted
	m = mount(t, func(o *fsmount.Options) {
		o.Fetch = func(ctx context.Context, _ pir.PID, _ cid.CID) error {
			calls.Add(1)
			select {
			case err := <-release:
				if err == nil {
					_, err = m.store.Import(ctx, tree, nil)
				}
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	id, root := castest.Package(t, m.store, castest.Key(1), "lost", tree)
	path := filepath.Join(m.path, id.String(), "lost")
	if err := os.Remove(blob(t, m.store, root, "lost")); err != nil {
		t.Fatal(err)
	}
	killedCat := exec.Command("/bin/cat", path)
	if err := killedCat.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the fetch", func() bool { return calls.Load() == 1 })
	var waiting sync.WaitGroup
	for range 4 {
		waiting.Go(func() {
			if b, err := os.ReadFile(path); string(b) != "lost and found" {
				t.Errorf("got %q, %v", b, err)
			}
		})
	}
	if b, err := os.ReadFile(filepath.Join(m.path, id.String(), "here")); string(b) != "here" {
		t.Errorf("another file: %q, %v", b, err)
	}
	begun := time.Now()
	if err := killedCat.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killedCat.Wait()
	if took := time.Since(begun); took > time.Second {
		t.Errorf("a killed waiter ended after %v", took)
	}
	release <- nil
	waiting.Wait()
	if n := calls.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}

	if err := os.Remove(blob(t, m.store, root, "here")); err != nil {
		t.Fatal(err)
	}
	go func() { release <- errors.New("no peer has it") }()
	for range 2 { // the second one gets the failure of the first
		if _, err := os.ReadFile(filepath.Join(m.path, id.String(), "here")); !errors.Is(err, unix.EIO) {
			t.Errorf("a file that cannot be fetched: %v", err)
		}
	}
	if n := calls.Load(); n != 2 {
		t.Errorf("%d fetches", n)
	}
}

// TestFlips changes bits of blobs on the disk. Readers get EIO, and never wrong bytes.
func TestFlips(t *testing.T) {
	for name, change := range map[string]func(o *fsmount.Options){
		"passthrough": nil, "cached": func(o *fsmount.Options) { o.NoPassthrough = true },
	} {
		t.Run(name, func(t *testing.T) {
			m := mount(t, change)
			tree := fstest.MapFS{}
			for i := range 60 {
				tree[strings.Repeat("f", i+1)] = &fstest.MapFile{Data: slices.Concat([]byte{byte(i)}, pattern(i*3000)), Mode: 0o644}
			}
			id, root := castest.Package(t, m.store, castest.Key(1), "flips", tree)
			bad, unknown := 0, 0
			for file, f := range tree {
				path := filepath.Join(m.path, id.String(), file)
				known := rand.IntN(2) == 0 // some are in the kernel's cache
				if known {
					if _, err := os.ReadFile(path); err != nil {
						t.Fatal(err)
					}
				}
				if !known || change == nil {
					unknown++
				}
				flip(t, blob(t, m.store, root, file))
				b, err := os.ReadFile(path)
				// The kernel tells of a close a little later, and a file that is open is not compared again.
				for begun := time.Now(); known && err == nil && string(b) != string(f.Data) && time.Since(begun) < 2*time.Second; {
					time.Sleep(5 * time.Millisecond)
					b, err = os.ReadFile(path)
				}
				switch {
				case errors.Is(err, unix.EIO):
					bad++
				case err != nil || string(b) != string(f.Data):
					t.Errorf("%d bytes: wrong ones, or %v", len(f.Data), err)
				}
			}
			if bad < unknown/2 {
				t.Errorf("%d of %d damaged files gave an error", bad, unknown)
			}
		})
	}
}

// flip changes one bit of a file.
func flip(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0) // as root: the mode does not count
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // Sync says enough
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	at, b := rand.Int64N(info.Size()), make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << rand.IntN(8)
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// TestHeld says which packages have open files, where the kernel asks for each open and where it does not.
func TestHeld(t *testing.T) {
	for _, own := range []bool{false, true} {
		t.Run(fmt.Sprintf("own=%v", own), func(t *testing.T) { testHeld(t, own) })
	}
}

func testHeld(t *testing.T, own bool) {
	m := mount(t, func(o *fsmount.Options) { o.NoPassthrough = own })
	a, _ := castest.Package(t, m.store, castest.Key(1), "a", castest.Tree())
	b, _ := castest.Package(t, m.store, castest.Key(1), "b", castest.Tree())
	both := []pir.PID{a, b}
	if got := m.Held(both); len(got) != 0 || m.InUse() {
		t.Errorf("before: %v", got)
	}
	var files []*os.File
	for range 3 {
		f, err := os.Open(filepath.Join(m.path, a.String(), "share/big"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	if _, err := os.ReadFile(filepath.Join(m.path, b.String(), "share/big")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one package is held", func() bool { return slices.Equal(m.Held(both), []pir.PID{a}) })
	if !m.InUse() {
		t.Error("nothing is in use")
	}
	if got := m.Held([]pir.PID{b}); len(got) != 0 {
		t.Errorf("asked about the other one: %v", got)
	}
	if !own { // a package that is gone keeps its open files
		if err := errors.Join(m.store.Unbind(t.Context(), a), m.Changed(a)); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, 10)
	if _, err := files[0].ReadAt(got, 2<<20); err != nil {
		t.Error(err)
	}
	for i, f := range files {
		if i == 2 && !slices.Equal(m.Held(both), []pir.PID{a}) {
			t.Errorf("with one file open: %v", m.Held(both))
		}
		f.Close() //nolint:errcheck // it was only read
	}
	eventually(t, "no package is held", func() bool { return len(m.Held(both)) == 0 && !m.InUse() })
}

// TestStable compares what programs see before and after a remount.
func TestStable(t *testing.T) {
	j, id, _ := newJob(t, false)
	see := func() map[string]unix.Stat_t {
		all := map[string]unix.Stat_t{}
		root := filepath.Join(j.mount(), id.String())
		err := filepath.WalkDir(root, func(p string, _ fs.DirEntry, err error) error {
			var st unix.Stat_t
			if err == nil {
				err = unix.Lstat(p, &st)
			}
			st.Dev = 0
			all[strings.TrimPrefix(p, root)] = st
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	var first map[string]unix.Stat_t
	for i := range 3 {
		cmd := j.start(t)
		j.await(t, id)
		now := see()
		if first == nil {
			first = now
		}
		for p, st := range first {
			if now[p] != st {
				t.Errorf("remount %d: %s: got %+v, want %+v", i, p, now[p], st)
			}
		}
		if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		eventually(t, "unmount", func() bool { return mountCount(t, j.mount()) == 0 && holderOf(t, j.Dir) == 0 })
		if i == 0 { // a crash has cut the last record of the slots
			f, err := os.OpenFile(filepath.Join(j.Dir, "slots"), os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write([]byte{4, 70, 0, 0}); err != nil {
				t.Fatal(err)
			}
			f.Close() //nolint:errcheck // a test
		}
	}
}

// TestRealize looks up packages that the store does not have.
func TestRealize(t *testing.T) {
	var made pir.PID
	m := mount(t, func(o *fsmount.Options) {
		store := o.Store.(*cas.Store)
		made = castest.Describe(t, store, "made")
		o.Realize = func(_ context.Context, p pir.PID) error {
			if p != made {
				return cas.ErrNotFound
			}
			root, err := store.Import(context.Background(), castest.Tree(), nil)
			if err != nil {
				return err
			}
			return store.Bind(context.Background(), castest.Attest(1, p, root))
		}
	})
	same(t, filepath.Join(m.path, made.String()), castest.Tree())
	if _, err := os.Lstat(filepath.Join(m.path, pir.PID{1}.String())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a package that nobody has: %v", err)
	}
}
