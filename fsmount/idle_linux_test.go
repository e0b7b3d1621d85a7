package fsmount_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/fsmount"
	"github.com/MordragT/nuka/internal/skip"
	"github.com/MordragT/nuka/pir"
)

const idleSize = 24 << 20 // bytes of a large file

// ownDisk returns a folder that is a file system of its own, whose free space nobody else changes.
func ownDisk(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		skip.Wall(t, "a file system needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256m"); err != nil {
		skip.Wall(t, err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func free(t *testing.T, dir string) int64 {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bfree) * st.Bsize
}

// read reads the large file of a package, which is idle then: the kernel has it for the next open.
func readIdle(t *testing.T, mount string, id pir.PID) {
	t.Helper()
	if b, err := os.ReadFile(filepath.Join(mount, id.String(), "large")); err != nil || len(b) != idleSize {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
}

// TestIdle checks that idle files take no room on the disk when a collection has removed them.
func TestIdle(t *testing.T) {
	tree := fstest.MapFS{"large": {Data: pattern(idleSize), Mode: 0o644}}
	for name, ask := range map[string]bool{"the collection asks what is held": true, "the mount is told": false} {
		t.Run(name, func(t *testing.T) {
			disk := ownDisk(t)
			store := castest.Open(t, filepath.Join(disk, "store"), nil)
			m := mount(t, func(o *fsmount.Options) { o.Store = store })
			id, _ := castest.Package(t, store, castest.Key(1), "idle", tree)
			readIdle(t, m.path, id)
			eventually(t, "the file is closed", func() bool { return len(m.Held([]pir.PID{id})) == 0 })
			readIdle(t, m.path, id)
			time.Sleep(100 * time.Millisecond) // the kernel tells of the close
			before := free(t, disk)
			o := &cas.CollectOptions{}
			if ask {
				o.InUse = m.Held
			}
			got, err := store.Collect(t.Context(), o)
			if err != nil || !slices.Equal(got.Gone, []pir.PID{id}) {
				t.Fatalf("collection: %v, %v", got.Gone, err)
			}
			if !ask {
				if err := m.Changed(got.Gone...); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "room on the disk", func() bool { return free(t, disk)-before > idleSize/2 })
			if _, err := os.Stat(filepath.Join(m.path, id.String(), "large")); err == nil && !ask {
				t.Error("the file is still there")
			}
		})
	}
}

// TestIdleAfterKill checks that a daemon gives back the files that a killed one kept for the next open.
func TestIdleAfterKill(t *testing.T) {
	j := &serveJob{Dir: ownDisk(t), Linger: 20 * time.Second}
	store, err := cas.Open(filepath.Join(j.Dir, "store"), nil)
	if err != nil {
		t.Fatal(err)
	}
	id, root := castest.Package(t, store, castest.Key(1), "idle", fstest.MapFS{"large": {Data: pattern(idleSize), Mode: 0o644}})
	name := blob(t, store, root, "large")
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(j.mount(), unix.MNT_DETACH) })
	cmd := j.start(t)
	j.await(t, id)
	readIdle(t, j.mount(), id)
	time.Sleep(100 * time.Millisecond) // the kernel tells of the close
	killed(t, cmd)
	before := free(t, j.Dir)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if n := free(t, j.Dir); n-before > idleSize/2 {
		t.Fatal("the kernel kept no file")
	}
	cmd = j.start(t)
	eventually(t, "room on the disk", func() bool { return free(t, j.Dir)-before > idleSize/2 })
	if _, err := os.ReadFile(filepath.Join(j.mount(), id.String(), "large")); !errors.Is(err, unix.EIO) {
		t.Errorf("a file that is gone: %v", err)
	}
	killed(t, cmd)
}
