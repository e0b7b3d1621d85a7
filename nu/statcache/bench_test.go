package statcache

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkUnchanged hashes 200,000 files that have not changed.
func BenchmarkUnchanged(b *testing.B) {
	dir, c := b.TempDir(), &Cache{Dir: b.TempDir(), now: later}
	for d := range 200 {
		folder := filepath.Join(dir, fmt.Sprint("folder", d))
		if err := os.Mkdir(folder, 0o755); err != nil {
			b.Fatal(err)
		}
		for f := range 1000 {
			if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("file%04d.c", f)), []byte(fmt.Sprintln("int f;", d, f)), 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	tree := &Tree{Folder: dir, FS: os.DirFS(dir)}
	if _, err := c.Hash(b.Context(), tree); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := c.Hash(b.Context(), tree); err != nil {
			b.Fatal(err)
		}
	}
}
