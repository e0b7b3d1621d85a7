package wasmrt_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/internal/skip"
)

// TestStubFullDisk takes machine code from a cache on a disk that has no room for another name. The entry stays.
func TestStubFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m,nr_inodes=100"); err != nil {
		skip.Wall(t, err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	code := program(1, growLoop...)
	loadAndRun(t, dir, code)
	before, _ := filepath.Glob(filepath.Join(dir, "*", "wazero-*", "*"))
	for i := 0; ; i++ {
		if err := os.Mkdir(filepath.Join(dir, fmt.Sprint("full", i)), 0o700); err != nil {
			break
		}
	}
	if log := loadAndRun(t, dir, code); log != "" {
		t.Errorf("got log %q", log)
	}
	if now, _ := filepath.Glob(filepath.Join(dir, "*", "wazero-*", "*")); len(before) != 1 || len(now) != 1 || now[0] != before[0] {
		t.Errorf("the cache has %v, had %v", now, before)
	}
}
