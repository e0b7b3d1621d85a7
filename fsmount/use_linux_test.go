package fsmount_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/fsmount"
	"github.com/MordragT/nuka/pir"
)

// used is a tree with a program, of which n makes a tree of its own.
func used(t *testing.T, n int) fstest.MapFS {
	t.Helper()
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Skip(err)
	}
	return fstest.MapFS{
		"bin/sleep": {Data: sleep, Mode: 0o755}, "bin/other": {Data: []byte{byte(n)}, Mode: 0o644}, "share/deep/er/data": {Data: pattern(100_000 + n), Mode: 0o644},
	}
}

// TestUseWithoutOpens has the kernel open files on its own. A collection spares what programs use, in whichever way, again and again, and what they used before goes.
func TestUseWithoutOpens(t *testing.T) {
	m := mount(t, func(o *fsmount.Options) { o.NoPassthrough = true })
	var ids []pir.PID
	at := func(n int, name string) string { return filepath.Join(m.path, ids[n].String(), name) }
	for n := range 5 {
		id, _ := castest.Package(t, m.store, castest.Key(1), fmt.Sprint("used", n), used(t, n))
		ids = append(ids, id)
		for _, name := range []string{"bin/sleep", "bin/other", "share/deep/er/data"} { // the kernel knows them all
			if _, err := os.ReadFile(at(n, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	open, err := os.Open(at(0, "share/deep/er/data"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(at(1, "share/deep/er/data"))
	if err != nil {
		t.Fatal(err)
	}
	mapped, err := unix.Mmap(int(f.Fd()), 0, 100_000, unix.PROT_READ, unix.MAP_SHARED)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	program, inFolder := exec.Command(at(2, "bin/sleep"), "1000"), exec.Command("/bin/sleep", "1000")
	inFolder.Dir = at(3, "share/deep")
	if err := errors.Join(program.Start(), inFolder.Start()); err != nil {
		t.Fatal(err)
	}
	collect := func(gone ...pir.PID) {
		t.Helper()
		got, err := m.store.Collect(t.Context(), &cas.CollectOptions{InUse: m.Held})
		order := func(a, b pir.PID) int { return bytes.Compare(a[:], b[:]) }
		slices.SortFunc(got.Gone, order)
		slices.SortFunc(gone, order)
		if err := errors.Join(err, m.Changed(got.Gone...)); err != nil || !slices.Equal(got.Gone, gone) {
			t.Errorf("gone are %v, %v; want %v", got.Gone, err, gone)
		}
	}
	collect(ids[4])
	collect()
	if !m.InUse() {
		t.Error("nothing is in use")
	}
	b := make([]byte, 1000)
	if _, err := open.ReadAt(b, 90_000); err != nil || mapped[99_999] != pattern(100_001)[99_999] {
		t.Errorf("read after collections: %v", err)
	}
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", program.Process.Pid))
	if err != nil || exe != at(2, "bin/sleep") {
		t.Errorf("the program is %s, %v", exe, err)
	}
	err = errors.Join(open.Close(), unix.Munmap(mapped), program.Process.Kill(), inFolder.Process.Kill())
	_, _ = program.Wait(), inFolder.Wait() // they were killed
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing is in use", func() bool { return !m.InUse() })
	time.Sleep(100 * time.Millisecond) // the holder looks at what was in use the last time
	collect(ids[:4]...)
}

// TestManyRead reads more files at once than the daemon keeps open.
func TestManyRead(t *testing.T) {
	m := mount(t, func(o *fsmount.Options) { o.NoPassthrough = true })
	tree := fstest.MapFS{}
	for i := range 400 {
		tree[fmt.Sprint("f", i)] = &fstest.MapFile{Data: bytes.Repeat([]byte{byte(i)}, 3000+i), Mode: 0o644}
	}
	id, _ := castest.Package(t, m.store, castest.Key(1), "many", tree)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for name, f := range tree {
				file, err := os.Open(filepath.Join(m.path, id.String(), name))
				if err != nil {
					t.Error(err)
					return
				}
				_ = unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED)
				b := make([]byte, len(f.Data))
				if _, err := file.ReadAt(b, 0); err != nil || !bytes.Equal(b, f.Data) {
					t.Errorf("%s: %v, or wrong bytes", name, err)
				}
				file.Close() //nolint:errcheck // it was only read
			}
		})
	}
	wg.Wait()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil || len(fds) > 250 {
		t.Errorf("%d descriptors are open, %v", len(fds), err)
	}
}
