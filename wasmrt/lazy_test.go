package wasmrt_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/wasmrt"
)

// An openReader reads directories from a map and files from a directory of the host, and counts its calls.
type openReader struct {
	dir     string
	folders map[string][]wasmrt.Entry // by key
	pause   time.Duration             // delay of each read

	mu    sync.Mutex
	fails map[string]error // the errors of reads of these keys
	reads map[string]int
	now   map[string]bool
	twice []string   // keys that two goroutines read at once
	asked [][]string // the keys of each call of Files
	paths func(paths []string) []string
}

func (r *openReader) Folder(key string) ([]wasmrt.Entry, error) {
	r.mu.Lock()
	r.reads[key]++
	if r.now[key] {
		r.twice = append(r.twice, key)
	}
	r.now[key] = true
	r.mu.Unlock()
	time.Sleep(r.pause)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now[key] = false
	return r.folders[key], r.fails[key]
}

func (r *openReader) Files(keys []string) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, keys)
	paths := make([]string, len(keys))
	for i, key := range keys {
		paths[i] = filepath.Join(r.dir, filepath.FromSlash(key))
	}
	if r.paths != nil {
		paths = r.paths(paths)
	}
	return paths, r.fails[keys[0]]
}

// count returns how often each directory was read since the last call of count.
func (r *openReader) count() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer clear(r.reads)
	return maps.Clone(r.reads)
}

// lazy returns the tree of entries and the reader of its directories. The key of each entry is its path; the root's key is "/".
func lazy(t testing.TB, entries ...wasmrt.Entry) (*wasmrt.Tree, *openReader) {
	t.Helper()
	r := &openReader{dir: t.TempDir(), folders: map[string][]wasmrt.Entry{}, fails: map[string]error{}, reads: map[string]int{}, now: map[string]bool{}}
	seen := map[string]bool{".": true}
	var add func(e wasmrt.Entry)
	add = func(e wasmrt.Entry) {
		if seen[e.Path] {
			return
		}
		seen[e.Path] = true
		dir, key := path.Dir(e.Path), e.Path
		if dir == "." {
			add(wasmrt.Entry{Path: ".", Kind: wasmrt.KindDir})
			dir = "/"
		} else {
			add(wasmrt.Entry{Path: dir, Kind: wasmrt.KindDir})
		}
		if e.Kind == wasmrt.KindFile {
			at := filepath.Join(r.dir, filepath.FromSlash(e.Path))
			if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, e.Data, 0o644)); err != nil {
				t.Fatal(err)
			}
			e.Size, e.Data = int64(len(e.Data)), nil
		}
		e.Path = path.Base(e.Path)
		if e.Kind != wasmrt.KindSymlink {
			e.Key = key
		}
		r.folders[dir] = append(r.folders[dir], e)
	}
	for _, e := range entries {
		add(e)
	}
	tr, err := wasmrt.ReadTree(wasmrt.Entry{Kind: wasmrt.KindDir, Key: "/"}, r)
	if err != nil {
		t.Fatal(err)
	}
	return tr, r
}

// stat describes the file at a path, by kind, executable bit and size, or returns the error.
func stat(fs *wasmrt.FS, name string) string {
	i, err := fs.Stat(name)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %v %d", i.Kind, i.Exec, i.Size)
}

// TestLazyTreeLooksTheSame checks that programs see no difference between a lazy tree and a tree in memory.
func TestLazyTreeLooksTheSame(t *testing.T) {
	entries := []wasmrt.Entry{
		file("lib/f", "from the store"), link("up", "lib/../up2"), link("up2", "../p/lib/f"), link("tobuild", "/nuka/build"),
		file("lib/deep/er/g", ""), link("lib/loop", "loop"), {Path: "empty", Kind: wasmrt.KindDir}, file("exec", "x"), file("large", strings.Repeat("x", 100_000)),
	}
	for _, c := range []string{
		"ls ../store/p", "ls ../store/p/lib", "ls ../store/p/empty", "ls ../store/p/lib/deep/er", "cat ../store/p/lib/f", "cat ../store/p/up",
		"cat ../store/p/lib/deep/er/g", "cat ../store/p/large", "lstat ../store/p/up2", "stat ../store/p/exec", "cat ../store/p/lib/loop", "cat ../store/p/none/x",
		"cat ../store/p/lib/f/x", "cat ../store/p/lib", "ls ../store/p/lib/f", "readlink ../store/p/tobuild", "ino ../store/p/lib/f", "write ../store/p/lib/f x",
		"write ../store/p/new x", "mkdir ../store/p/d", "rm ../store/p/lib/f", "ls /nuka/store", "count ../store/p/lib",
	} {
		plain := newBox(t, nil, wasmrt.Mount{Path: "/nuka/store/p", Tree: tree(t, entries...)})
		read, _ := lazy(t, entries...)
		want := plain.run(c)
		if got := newBox(t, nil, wasmrt.Mount{Path: "/nuka/store/p", Tree: read}).run(c); got != want {
			t.Errorf("%s: got %q, want %q", c, got, want)
		}
		if err := read.Failed(); err != nil {
			t.Errorf("%s: %v", c, err)
		}
	}
}

// TestLazyTreeReadsWhatIsLookedAt checks that the tree reads only directories that a program looks into, each once.
func TestLazyTreeReadsWhatIsLookedAt(t *testing.T) {
	tr, r := lazy(t, file("a/b/f", "text"), file("a/c/f", ""), file("d/f", ""), file("e/f", ""))
	fs, err := wasmrt.NewFS(wasmrt.Mount{Path: "/p", Tree: tr})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		reads      map[string]int
	}{
		{"/p", "1 false 0", map[string]int{}},
		{"/p/a/b/f", "2 false 4", map[string]int{"/": 1, "a": 1, "a/b": 1}},
		{"/p/a/b/f", "2 false 4", map[string]int{}},
		{"/p/d", "1 false 0", map[string]int{}},
		{"/p/none", "stat /p/none: no such file or directory", map[string]int{}},
		{"/p/d/../a/c/none", "stat /p/d/../a/c/none: no such file or directory", map[string]int{"a/c": 1}},
	} {
		if got := stat(fs, c.name); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		if d := cmp.Diff(c.reads, r.count()); d != "" {
			t.Errorf("%s: reads (-want +got)\n%s", c.name, d)
		}
	}
}

// TestLazyTreeAtOnce lets many programs look at once: each directory is read once, and never by two goroutines.
func TestLazyTreeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var entries []wasmrt.Entry
		for i := range 100 {
			entries = append(entries, file(fmt.Sprintf("d%d/s%d/f", i%10, i), "text"))
		}
		tr, r := lazy(t, entries...)
		r.pause = time.Second
		fs, err := wasmrt.NewFS(wasmrt.Mount{Path: "/p", Tree: tr})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for _, e := range entries {
					if got, err := fs.ReadFile("/p/"+e.Path, 0); err != nil || string(got) != "text" {
						t.Errorf("%s: got %q, %v", e.Path, got, err)
					}
				}
			})
		}
		wg.Wait()
		reads := r.count()
		for key, n := range reads {
			if n != 1 {
				t.Errorf("%s was read %d times", key, n)
			}
		}
		if len(reads) != 1+10+100 || len(r.twice) > 0 {
			t.Errorf("%d folders were read, want 111; by two at once: %q", len(reads), r.twice)
		}
	})
}

// TestLazyTreeErrorsPass checks that a program sees an error of the reader as an I/O error, and that the tree calls the
// reader again for the next program.
func TestLazyTreeErrorsPass(t *testing.T) {
	tr, r := lazy(t, file("a/f", "text"), file("b", "other"))
	b := newBox(t, nil, wasmrt.Mount{Path: "/p", Tree: tr})
	if got := b.run("cat /p/b"); got != "other\n" || tr.Failed() != nil {
		t.Errorf("got %q, %v", got, tr.Failed())
	}
	const io = "I/O error\n"
	broken := errors.New("the node is gone")
	r.fails["a"] = broken
	for _, c := range []struct{ cmd, want string }{
		{"cat /p/a/f", "cat: open /p/a/f: " + io}, {"ls /p/a", "ls: readdirent /p/a: " + io}, {"stat /p/a", "a d--------- 0 315532800 1\n"},
	} {
		if got := b.run(c.cmd); got != c.want {
			t.Errorf("%s: got %q, want %q", c.cmd, got, c.want)
		}
	}
	if err := tr.Failed(); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	delete(r.fails, "a")
	r.fails["a/f"] = broken
	if got, want := b.run("cat /p/a/f"), "cat: open /p/a/f: "+io; got != want {
		t.Errorf("a file that is not found: got %q, want %q", got, want)
	}
	delete(r.fails, "a/f")
	if got := b.run("cat /p/a/f"); got != "text\n" {
		t.Errorf("after the error: got %q", got)
	}
}

// TestLazyTreeRefusesWhatIsNoTree checks that the tree validates the reader's entries as NewTree does: if one entry of a directory
// is invalid, programs see none of the directory.
func TestLazyTreeRefusesWhatIsNoTree(t *testing.T) {
	for _, list := range [][]wasmrt.Entry{
		{file("", "")}, {file(".", "")}, {file("..", "")}, {file("../x", "")}, {file("a/b", "")}, {file("/a", "")}, {file("a/", "")}, {file("a\x00b", "")}, {file("a\xff", "")},
		{file("a", ""), file("a", "")}, {{Path: "a"}}, {{Path: "a", Kind: 4}}, {{Path: "a", Kind: wasmrt.KindFile, Key: "a", Size: -1}},
	} {
		tr, r := lazy(t)
		r.folders["/"] = append([]wasmrt.Entry{file("good", "")}, list...)
		fs, err := wasmrt.NewFS(wasmrt.Mount{Path: "/p", Tree: tr})
		if err != nil {
			t.Fatal(err)
		}
		if got := stat(fs, "/p/good"); got != "stat /p/good: input/output error" || tr.Failed() == nil {
			t.Errorf("%+v: got %q, %v", list, got, tr.Failed())
		}
	}
	for name, paths := range map[string]func([]string) []string{
		"none": func([]string) []string { return nil }, "too few": func(p []string) []string { return p[1:] },
		"too many": func(p []string) []string { return append(p, p...) }, "no path": func(p []string) []string { return make([]string, len(p)) },
		"a path that is none": func(p []string) []string { return append([]string{p[0] + "-none"}, p[1:]...) },
	} {
		tr, r := lazy(t, file("a", "text"), file("b", ""))
		r.paths = paths
		fs, err := wasmrt.NewFS(wasmrt.Mount{Path: "/p", Tree: tr})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fs.ReadFile("/p/a", 0); err == nil || tr.Failed() == nil {
			t.Errorf("%s: got %v, %v", name, err, tr.Failed())
		}
	}
	for _, root := range []wasmrt.Entry{link("", "x"), file("x", ""), {}, {Kind: wasmrt.KindFile, Key: "a", Size: -1}} {
		if _, err := wasmrt.ReadTree(root, &openReader{}); err == nil {
			t.Errorf("root %+v: got no error", root)
		}
	}
}

// TestLazyFile checks a root that is one file.
func TestLazyFile(t *testing.T) {
	_, r := lazy(t, file("alone", "text\n"))
	tr, err := wasmrt.ReadTree(wasmrt.Entry{Kind: wasmrt.KindFile, Key: "alone", Size: 5}, r)
	if err != nil {
		t.Fatal(err)
	}
	b := newBox(t, nil, wasmrt.Mount{Path: "/nuka/src", Tree: tr})
	if got := b.run("cat /nuka/src", "ls /nuka"); got != "text\n\nbuild d---------\nsrc ----------\n" {
		t.Errorf("got %q", got)
	}
}

// TestLazyFolderOfMany checks a large directory: it is complete and sorted, no file is requested before a program opens it,
// and unread directories take no memory.
func TestLazyFolderOfMany(t *testing.T) {
	const n = 100_000
	tr, r := lazy(t, file("small/f", ""))
	for i := range n {
		name := fmt.Sprintf("%x", uint32(i)*2654435761)
		r.folders["many"] = append(r.folders["many"], wasmrt.Entry{Path: name, Kind: wasmrt.KindFile, Key: "small/f"})
	}
	r.folders["/"] = append(r.folders["/"], wasmrt.Entry{Path: "many", Kind: wasmrt.KindDir, Key: "many"})
	b := newBox(t, nil, wasmrt.Mount{Path: "/p", Tree: tr})
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	if got := b.run("ls /p/small"); got != "f ----------\n" {
		t.Errorf("got %q", got)
	}
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("%d bytes more beside a folder that was not looked at", grown)
	}
	if got, want := b.run("count /p/many"), fmt.Sprintf("%d names, sorted: true\n", n); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if grown := heap() - before; grown > n*400 {
		t.Errorf("%d bytes for each of %d entries", grown/n, n)
	}
	if len(r.asked) > 0 {
		t.Errorf("files were asked for: %q", r.asked)
	}
	runtime.KeepAlive(tr)
}

// TestLazyNeighbours checks that opening a file also requests its small neighbours, since the next program opens them.
func TestLazyNeighbours(t *testing.T) {
	entries := []wasmrt.Entry{file("d/large", strings.Repeat("x", 70_000)), file("d/sub/f", ""), link("d/link", "f00")}
	for i := range 100 {
		entries = append(entries, file(fmt.Sprintf("d/f%02d", i), fmt.Sprint(i)))
	}
	tr, r := lazy(t, entries...)
	fs, err := wasmrt.NewFS(wasmrt.Mount{Path: "/p", Tree: tr})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{90, 91, 99, 0, 50} {
		if got, err := fs.ReadFile(fmt.Sprintf("/p/d/f%02d", i), 0); err != nil || string(got) != fmt.Sprint(i) {
			t.Errorf("got %q, %v, want %d", got, err, i)
		}
	}
	if len(r.asked) != 2 || len(r.asked[0]) != 32 || r.asked[0][0] != "d/f90" || r.asked[1][0] != "d/f50" || slices.Contains(r.asked[0], "d/large") {
		t.Errorf("got %q, want f90 and 31 after it, then f50", r.asked)
	}
	r.paths = func(p []string) []string { clear(p[1:]); return p } // a reader that answers for no neighbour
	tr2, err := wasmrt.ReadTree(wasmrt.Entry{Kind: wasmrt.KindDir, Key: "d"}, r)
	if err != nil {
		t.Fatal(err)
	}
	if fs, err = wasmrt.NewFS(wasmrt.Mount{Path: "/p", Tree: tr2}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"f01", "f02", "large"} {
		if _, err := fs.ReadFile("/p/"+name, 0); err != nil {
			t.Error(err)
		}
	}
	if len(r.asked) != 5 {
		t.Errorf("got %q, want three questions more", r.asked[2:])
	}
}

// TestLazyErrorsAreNotHidden checks that neither the directories above a mount nor a program with the same name in another
// directory hide an I/O error.
func TestLazyErrorsAreNotHidden(t *testing.T) {
	guest, err := os.ReadFile(guestWasm)
	if err != nil {
		t.Fatal(err)
	}
	tr, r := lazy(t, file("bin/guest", string(guest)))
	other := tree(t, wasmrt.Entry{Path: "bin/guest", Kind: wasmrt.KindFile, Data: guest})
	_, h := newHost(t, wasmrt.Limits{}, wasmrt.Mount{Path: "/a", Tree: tr}, wasmrt.Mount{Path: "/b", Tree: other}, wasmrt.Mount{Path: "/a/bin/in", Tree: tree(t)})
	h.Path = []string{"/a/bin", "/b/bin"}
	r.fails["bin"] = errors.New("broken")
	if out, exit, err := command(h, "guest", "ls", "/b/bin"); err == nil || !strings.Contains(err.Error(), "input/output error") {
		t.Errorf("the other program ran: %q, %d, %v", out, exit, err)
	}
	if out, _, err := command(h, "/b/bin/guest", "ls", "/a/bin"); err != nil || !strings.Contains(out, "I/O error") {
		t.Errorf("got %q, %v, want an I/O error", out, err)
	}
	clear(r.fails)
	if out, _, err := command(h, "guest", "ls", "/a/bin"); err != nil || out != "guest ----------\nin d---------\n" {
		t.Errorf("got %q, %v", out, err)
	}
}
