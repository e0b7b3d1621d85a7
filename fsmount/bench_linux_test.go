package fsmount_test

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
)

const benchBig = 256 << 20 // bytes of the large file

// A benchPlace is where the files of BenchmarkMount are read: on the disk, or through a mount.
type benchPlace struct {
	name  string
	big   string   // the large file: on the disk it is the blob itself, so that all places share its pages
	root  string   // the small files
	files []string // their paths
}

// BenchmarkMount does the same with files on the disk, through a mount with passthrough, and through one without. A round goes to each place once,
// one after the other. The figures are the median of the time through the mount divided by the time on the disk in the same round,
// and the best time through the mount divided by the best time on the disk.
// `make bench mount` runs it.
func BenchmarkMount(b *testing.B) {
	places := benchPlaces(b)
	for _, work := range []struct {
		name string
		cold bool // nothing is in the page cache
		do   func(p *benchPlace) error
	}{
		{"read big", false, func(p *benchPlace) error { return readBig(p.big) }},
		{"read big cold", true, func(p *benchPlace) error { return readBig(p.big) }},
		{"map big", false, func(p *benchPlace) error { return mapBig(p.big) }},
		{"find", false, func(p *benchPlace) error { return walk(p.root, func(string, fs.DirEntry) error { return nil }) }},
		{"find and stat", false, func(p *benchPlace) error { return findSizes(p.root) }},
		{"stat", false, func(p *benchPlace) error { return each(p.files, statFile) }},
		{"open small", false, func(p *benchPlace) error { return each(p.files, openFile) }},
		{"read small", false, func(p *benchPlace) error { return each(p.files, readFile) }},
	} {
		b.Run(work.name, func(b *testing.B) {
			times := make([][]float64, len(places))
			for _, p := range places {
				if err := work.do(p); err != nil { // warm
					b.Fatal(err)
				}
			}
			for b.Loop() {
				for i, p := range places {
					if work.cold {
						dropPages(b)
					}
					begun := time.Now()
					if err := work.do(p); err != nil {
						b.Fatal(err)
					}
					times[i] = append(times[i], float64(time.Since(begun)))
				}
			}
			b.ReportMetric(median(times[0])/1e6, "disk-ms")
			for i, p := range places[1:] {
				var ratios []float64
				for r, t := range times[i+1] {
					ratios = append(ratios, t/times[0][r])
				}
				b.ReportMetric(median(ratios), p.name)
				b.ReportMetric(slices.Min(times[i+1])/slices.Min(times[0]), p.name+"-best")
			}
			b.ReportMetric(0, "ns/op") // of all places, which means nothing
		})
	}
}

// benchPlaces makes two stores with the same files, serves one with passthrough and one without, and has the files on the disk, too.
func benchPlaces(b *testing.B) []*benchPlace {
	tree := fstest.MapFS{"big": {Data: pattern(benchBig), Mode: 0o644}}
	var names []string
	for i := range 5000 {
		name := fmt.Sprintf("small/%02d/%03d", i%50, i/50)
		tree[name] = &fstest.MapFile{Data: pattern(i % 9000), Mode: 0o644}
		names = append(names, name)
	}
	slices.Sort(names)
	disk := &benchPlace{name: "disk"}
	places := []*benchPlace{disk}
	for _, through := range []bool{true, false} {
		j, _, _ := newJob(b, !through)
		store, err := cas.Open(filepath.Join(j.Dir, "store"), nil)
		if err != nil {
			b.Fatal(err)
		}
		id, root := castest.Package(b, store, castest.Key(1), "bench", tree)
		if through {
			export := filepath.Join(j.Dir, "disk")
			if err := store.Export(b.Context(), root, export); err != nil {
				b.Fatal(err)
			}
			disk.root = filepath.Join(export, "small")
			for e, err := range store.Entries(b.Context(), root) {
				if err != nil {
					b.Fatal(err)
				}
				if e.Path == "big" {
					if disk.big, err = store.BlobPath(e.CID); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
		if err := store.Close(); err != nil {
			b.Fatal(err)
		}
		cmd := j.start(b)
		b.Cleanup(func() { killed(b, cmd) })
		j.await(b, id)
		at := filepath.Join(j.mount(), id.String())
		p := &benchPlace{name: "passthrough/disk", big: filepath.Join(at, "big"), root: filepath.Join(at, "small")}
		if !through {
			p.name = "without/disk"
		}
		places = append(places, p)
	}
	for _, p := range places {
		for _, name := range names {
			p.files = append(p.files, filepath.Join(filepath.Dir(p.root), name))
		}
	}
	return places
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

func dropPages(b *testing.B) {
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0); err != nil {
		b.Fatal(err)
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

// findSizes looks at each file below a folder as find -size, du and tar do: by its name in its open folder.
func findSizes(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // it was only read
	list, err := d.ReadDir(-1)
	if err != nil {
		return err
	}
	at := int(d.Fd())
	for _, e := range list {
		var st unix.Stat_t
		if err := unix.Fstatat(at, e.Name(), &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		if e.IsDir() {
			if err := findSizes(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func each(files []string, fn func(string) error) error {
	for _, p := range files {
		if err := fn(p); err != nil {
			return err
		}
	}
	return nil
}

func statFile(p string) error {
	var st unix.Stat_t
	return unix.Lstat(p, &st)
}

func openFile(p string) error {
	fd, err := unix.Open(p, unix.O_RDONLY, 0)
	if err == nil {
		err = unix.Close(fd)
	}
	return err
}

func readFile(p string) error {
	fd, err := unix.Open(p, unix.O_RDONLY, 0)
	if err == nil {
		var buf [10000]byte
		_, err = unix.Read(fd, buf[:])
		unix.Close(fd) //nolint:errcheck // it was only read
	}
	return err
}

func readBig(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // it was only read
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

// mapBig maps a file and touches each page.
func mapBig(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // it was only read
	m, err := unix.Mmap(fd, 0, benchBig, unix.PROT_READ, unix.MAP_SHARED)
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
