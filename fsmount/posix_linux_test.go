package fsmount_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/cas/castest"
)

// TestPosix runs the one test of posixtest that changes nothing, and the read-only part of two others, whose files are made here by a package.
func TestPosix(t *testing.T) {
	m := mount(t, nil)
	id, _ := castest.Package(t, m.store, castest.Key(1), "posix", castest.WideTree())
	posixtest.All["ReadDirConsistency"](t, filepath.Join(m.path, id.String(), "wide"))
	posixtest.All["ReadDirConsistency"](t, m.path)

	other, _ := castest.Package(t, m.store, castest.Key(1), "seek", castest.Tree())
	fd, err := unix.Open(filepath.Join(m.path, other.String(), "share/big"), unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd) //nolint:errcheck // it was only read
	size := int64(len(castest.Tree()["share/big"].Data))
	if at, err := unix.Seek(fd, size/2, unix.SEEK_HOLE); at != size || err != nil {
		t.Errorf("the first hole is at %d, %v; want %d", at, err, size)
	}
	for _, whence := range []int{unix.SEEK_DATA, unix.SEEK_HOLE} {
		if _, err := unix.Seek(fd, size+1, whence); !errors.Is(err, unix.ENXIO) {
			t.Errorf("beyond the end: %v", err)
		}
	}
}
