package statcache

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MordragT/nuka/pir/cid"
)

// counted counts which files are opened.
type counted struct {
	fs.FS
	opens *atomic.Int64
}

func (c counted) Open(name string) (fs.File, error) {
	c.opens.Add(1)
	return c.FS.Open(name)
}
func (c counted) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(c.FS, name) }
func (c counted) ReadLink(name string) (string, error)       { return fs.ReadLink(c.FS, name) }
func (c counted) Lstat(name string) (fs.FileInfo, error)     { return fs.Lstat(c.FS, name) }
func later() time.Time                                       { return time.Now().Add(time.Hour) }
func write(t *testing.T, name, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// hash compares the CID of the cache with that of cid.HashTree, and returns how many files were opened for it.
func hash(t *testing.T, c *Cache, dir, what string) int64 {
	t.Helper()
	var opens atomic.Int64
	got, err := c.Hash(t.Context(), &Tree{Folder: dir, FS: counted{os.DirFS(dir), &opens}})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	want, err := cid.HashTree(t.Context(), os.DirFS(dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("after %s: got %v, want %v", what, got, want)
	}
	return opens.Load()
}

// TestChanges hashes a tree after each kind of change and counts the files that are read.
func TestChanges(t *testing.T) {
	if !supported {
		t.Skip("no cache on this system")
	}
	dir := t.TempDir()
	c := &Cache{Dir: filepath.Join(t.TempDir(), "cache"), now: later}
	at := func(name string) string { return filepath.Join(dir, name) }
	for i := range 40 {
		write(t, at(fmt.Sprintf("d%d/f%d", i%4, i)), fmt.Sprint("content ", i), 0o644)
	}
	if err := os.Symlink("d0/f0", at("link")); err != nil {
		t.Fatal(err)
	}
	keepTimes := func(name string, change func() error) error {
		info, err := os.Lstat(name)
		if err != nil {
			return err
		}
		if err := change(); err != nil {
			return err
		}
		return os.Chtimes(name, info.ModTime(), info.ModTime())
	}
	for _, step := range []struct {
		what   string
		change func() error
		opens  int64
	}{
		{"the first time", func() error { return nil }, 40},
		{"nothing", func() error { return nil }, 0},
		{"another length", func() error { return os.WriteFile(at("d0/f0"), []byte("longer than before"), 0o644) }, 1},
		{"the same length and mtime", func() error {
			return keepTimes(at("d0/f0"), func() error { return os.WriteFile(at("d0/f0"), []byte("LONGER than before"), 0o644) })
		}, 1},
		{"a replaced file of the same length and mtime", func() error {
			return keepTimes(at("d0/f0"), func() error {
				if err := os.WriteFile(at("new"), []byte("longer THAN before"), 0o644); err != nil {
					return err
				}
				return os.Rename(at("new"), at("d0/f0"))
			})
		}, 1},
		{"an executable bit", func() error { return os.Chmod(at("d1/f1"), 0o755) }, 1},
		{"a link to elsewhere", func() error {
			if err := os.Remove(at("link")); err != nil {
				return err
			}
			return os.Symlink("d0/f4", at("link"))
		}, 0},
		{"a file more", func() error { return os.WriteFile(at("d3/more"), nil, 0o644) }, 1},
		{"a file less", func() error { return os.Remove(at("d3/more")) }, 0},
		{"a folder's name", func() error { return os.Rename(at("d2"), at("e2")) }, 10},
		{"two files that changed places", func() error {
			for _, m := range [][2]string{{"d0/f0", "x"}, {"d0/f4", "d0/f0"}, {"x", "d0/f4"}} {
				if err := os.Rename(at(m[0]), at(m[1])); err != nil {
					return err
				}
			}
			return nil
		}, 2},
		{"a file that became a folder", func() error {
			if err := os.Remove(at("d0/f8")); err != nil {
				return err
			}
			return os.Mkdir(at("d0/f8"), 0o755)
		}, 0},
		{"an empty folder more", func() error { return os.Mkdir(at("d1/empty"), 0o755) }, 0},
		{"nothing again", func() error { return nil }, 0},
	} {
		if err := step.change(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		if n := hash(t, c, dir, step.what); n != step.opens {
			t.Errorf("after %s: %d files were opened, want %d", step.what, n, step.opens)
		}
	}
}

// TestRandomChanges makes random changes and compares with cid.HashTree after each.
func TestRandomChanges(t *testing.T) {
	dir := t.TempDir()
	c := &Cache{Dir: t.TempDir(), now: later}
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	name := func() string {
		var b strings.Builder
		b.WriteString(dir)
		for range 1 + rng.IntN(3) {
			fmt.Fprintf(&b, "/%c", 'a'+rng.IntN(4))
		}
		return b.String()
	}
	for i := range 300 {
		for range 1 + rng.IntN(3) { // a change may fail, because there may be a file in place of a folder
			n := name()
			switch rng.IntN(6) {
			case 0, 1:
				_ = os.MkdirAll(filepath.Dir(n), 0o755)
				_ = os.WriteFile(n, []byte{byte(rng.IntN(3))}, 0o644)
			case 2:
				_ = os.RemoveAll(n)
			case 3:
				_ = os.Rename(n, name())
			case 4:
				_ = os.Symlink(fmt.Sprint(rng.IntN(3)), n)
			case 5:
				_ = os.Chmod(n, 0o755)
			}
		}
		hash(t, c, dir, fmt.Sprintf("%d changes", i))
	}
}

// TestRacy changes a file immediately after it was read, many times: a change within one tick of the clock does not show in stat.
func TestRacy(t *testing.T) {
	dir := t.TempDir()
	c := &Cache{Dir: t.TempDir()}
	for i := range 300 {
		write(t, filepath.Join(dir, "f"), fmt.Sprintf("%04d", i), 0o644)
		got, err := c.Hash(t.Context(), &Tree{Folder: dir, FS: os.DirFS(dir)})
		if err != nil {
			t.Fatal(err)
		}
		if want, _ := cid.HashTree(t.Context(), os.DirFS(dir), nil); got != want {
			t.Fatalf("change %d does not show", i)
		}
	}
	now := time.Unix(1000, 0)
	for age, racy := range map[time.Duration]bool{-time.Hour: true, 0: true, 2 * time.Second: true, 2*time.Second + 1: false} {
		then := now.Add(-age).UnixNano()
		for _, s := range []stat{{mtime: then}, {ctime: then}} {
			if s.racy(now) != racy {
				t.Errorf("%v old: racy is %v", age, !racy)
			}
		}
	}
}

// TestListed hides a name by a rule that does not show in any folder's stat.
func TestListed(t *testing.T) {
	dir, c := t.TempDir(), &Cache{Dir: t.TempDir(), now: later}
	write(t, filepath.Join(dir, "a"), "a", 0o644)
	write(t, filepath.Join(dir, "b"), "b", 0o644)
	seen := map[cid.CID]bool{}
	for _, hidden := range []string{"a", "b", ""} {
		got, err := c.Hash(t.Context(), &Tree{Folder: dir, FS: without{os.DirFS(dir), hidden}, Listed: true})
		if err != nil {
			t.Fatal(err)
		}
		seen[got] = true
	}
	if len(seen) != 3 {
		t.Errorf("got %d CIDs of three trees", len(seen))
	}
}

type without struct {
	fs.FS
	hidden string
}

func (w without) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(w.FS, name)
	var out []fs.DirEntry
	for _, e := range list {
		if e.Name() != w.hidden {
			out = append(out, e)
		}
	}
	return out, err
}

// TestDamage damages a record at each byte and cuts it at each length. Every damaged record must be refused.
func TestDamage(t *testing.T) {
	dir, c := t.TempDir(), &Cache{Dir: t.TempDir(), now: later}
	write(t, filepath.Join(dir, "d/f"), "content", 0o644)
	hash(t, c, dir, "the first time")
	files, err := filepath.Glob(filepath.Join(c.Dir, "*"))
	if err != nil || supported && len(files) != 1 {
		t.Fatalf("got %v, %v, want one record", files, err)
	}
	if !supported {
		return
	}
	whole, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if r := decodeRecord(whole); r == nil || !bytes.Equal(r.encode(), whole) {
		t.Fatal("a whole record is not read back")
	}
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x10
		if decodeRecord(damaged) != nil {
			t.Errorf("believed with byte %d damaged", i)
		}
		if decodeRecord(whole[:i]) != nil {
			t.Errorf("believed when cut to %d bytes", i)
		}
	}
	if err := os.WriteFile(files[0], whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	hash(t, c, dir, "half a record")
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(magic))
	r := record{root: cid.Sum(cid.Raw, nil), dirs: map[string]*dirRecord{".": {name: ".", entries: []entryRecord{
		{name: "d", kind: kindDir}, {name: "f", cid: cid.Sum(cid.Raw, nil), tsize: 1}, {name: "l", kind: kindLink},
	}}}}
	whole := r.encode()
	f.Add(whole[:len(whole)-32])
	f.Fuzz(func(t *testing.T, b []byte) { // the hash is valid, because whoever damages a record could compute it
		if r := decodeRecord(sealed(bytes.Clone(b))); r != nil && !bytes.Equal(r.encode(), sealed(bytes.Clone(b))) {
			t.Errorf("%q is read as something else", b)
		}
	})
}
