package cas_test

import (
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/MordragT/nuka/cas"
)

// TestClosedIndexIsSmall checks that a store that nobody uses keeps no room for logs of its index: pebble allocates them 9 MB ahead.
func TestClosedIndexIsSmall(t *testing.T) {
	dir := t.TempDir()
	s, err := cas.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Import(t.Context(), fstest.MapFS{"a": {Data: []byte("some content")}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var blocks int64
	err = filepath.WalkDir(filepath.Join(dir, "index"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			return err
		}
		blocks += st.Blocks
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := blocks * 512; got > 256<<10 {
		t.Errorf("a closed index takes %d bytes of the disk, want at most %d", got, 256<<10)
	}
}
