package fsmount_test

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/pir"
)

// BenchmarkMount does the same with files on the disk, through a mount with passthrough, and through one without. `make bench mount` runs it and
// compares the times.
func BenchmarkMount(b *testing.B) {
	tree := fstest.MapFS{"big": {Data: pattern(256 << 20), Mode: 0o644}}
	for i := range 5000 {
		tree[fmt.Sprintf("small/%02d/%03d", i%50, i/50)] = &fstest.MapFile{Data: pattern(i % 9000), Mode: 0o644}
	}
	roots := map[string]string{}
	for _, through := range []bool{true, false} {
		j, _, _ := newJob(b, !through)
		store, err := cas.Open(filepath.Join(j.Dir, "store"), nil)
		if err != nil {
			b.Fatal(err)
		}
		var id pir.PID
		id, root := castest.Package(b, store, castest.Key(1), "bench", tree)
		if through {
			roots["disk"] = filepath.Join(j.Dir, "disk")
			if err := store.Export(b.Context(), root, roots["disk"]); err != nil {
				b.Fatal(err)
			}
		}
		if err := store.Close(); err != nil {
			b.Fatal(err)
		}
		cmd := j.start(b)
		defer killed(b, cmd)
		j.await(b, id)
		roots[fmt.Sprintf("passthrough=%v", through)] = filepath.Join(j.mount(), id.String())
	}
	for _, work := range []struct {
		name string
		do   func(root string) error
	}{
		{"read big", func(root string) error { return readBig(filepath.Join(root, "big"), false) }},
		{"read big cold", func(root string) error { return readBig(filepath.Join(root, "big"), true) }},
		{"map big", func(root string) error { return mapBig(filepath.Join(root, "big")) }},
		{"find", func(root string) error { return walk(root, func(string, fs.DirEntry) error { return nil }) }},
		{"stat", func(root string) error {
			return walk(root, func(p string, _ fs.DirEntry) error { _, err := os.Lstat(p); return err })
		}},
		{"open small", func(root string) error {
			return walk(filepath.Join(root, "small"), func(p string, d fs.DirEntry) error {
				fd, err := unix.Open(p, unix.O_RDONLY, 0)
				if err == nil {
					err = unix.Close(fd)
				}
				return err
			})
		}},
		{"read small", func(root string) error {
			buf := make([]byte, 10000)
			return walk(filepath.Join(root, "small"), func(p string, d fs.DirEntry) error {
				if d.IsDir() {
					return nil
				}
				fd, err := unix.Open(p, unix.O_RDONLY, 0)
				if err == nil {
					_, err = unix.Read(fd, buf)
					unix.Close(fd) //nolint:errcheck // it was only read
				}
				return err
			})
		}},
	} {
		for _, where := range []string{"disk", "passthrough=true", "passthrough=false"} {
			b.Run(work.name+"/"+where, func(b *testing.B) {
				if err := work.do(roots[where]); err != nil { // warm
					b.Fatal(err)
				}
				for b.Loop() {
					if err := work.do(roots[where]); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func walk(root string, fn func(string, fs.DirEntry) error) error {
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return fn(p, d)
	})
}

func readBig(path string, cold bool) error {
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // it was only read
	if cold {
		if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0); err != nil {
			return err
		}
	}
	buf := make([]byte, 1<<20)
	for {
		switch n, err := unix.Read(fd, buf); {
		case err != nil:
			return err
		case n == 0:
			return nil
		}
	}
}

func mapBig(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	m, err := unix.Mmap(int(f.Fd()), 0, 256<<20, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	sum := byte(0)
	for i := 0; i < len(m); i += 4096 {
		sum += m[i]
	}
	_, err = io.Discard.Write([]byte{sum})
	if e := unix.Munmap(m); err == nil {
		err = e
	}
	return err
}
