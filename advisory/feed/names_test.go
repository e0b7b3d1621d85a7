package feed

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/advisory/osv"
)

// opened counts the shards that are opened.
type opened struct {
	fs.FS
	mu   sync.Mutex
	list []string
}

func (o *opened) Open(name string) (fs.File, error) {
	if strings.HasSuffix(name, ".zst") {
		o.mu.Lock()
		o.list = append(o.list, name)
		o.mu.Unlock()
	}
	return o.FS.Open(name)
}

// namedFeed returns a local feed with a record for each package name, in use.
func namedFeed(t *testing.T, l *Lock, names ...string) *Feed {
	t.Helper()
	var b Builder
	for i, name := range names {
		r, err := osv.Parse(fmt.Appendf(nil, `{"id":"X-%d","affected":[{"package":{"ecosystem":"npm","name":%q},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]}`, i, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	s := &Feed{Name: "f", Local: true, From: "/records"}
	if list, err := l.List(); err == nil && len(list) == 1 {
		s = &list[0]
	}
	if _, err := l.Read(t.Context(), s, &b, time.Now()); err != nil {
		t.Fatal(err)
	}
	return s
}

func lockedFolder(t *testing.T) *Lock {
	t.Helper()
	f, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l, err := f.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// Look-ups read the shards of packages that have records, and no others; without the file of names they give the same.
func TestNames(t *testing.T) {
	l := lockedFolder(t)
	s := namedFeed(t, l, "a", "b", "@scope/c")
	var keys []Key
	for i := range 1000 {
		keys = append(keys, Key{"npm", fmt.Sprint("other", i)})
	}
	keys = append(keys, Key{"npm", "a"}, Key{"npm", "@scope/c"}, Key{"npm", "A"})
	look := func() (shards int, found map[Key][]osv.Entry) {
		t.Helper()
		tree, err := l.Tree(s)
		if err != nil {
			t.Fatal(err)
		}
		o := &opened{FS: tree.files}
		tree.files = o
		if found, err = tree.Lookup(keys); err != nil {
			t.Fatal(err)
		}
		return len(o.list), found
	}
	shards, found := look()
	if shards != 2 || len(found) != 2 || len(found[Key{"npm", "a"}]) != 1 {
		t.Errorf("%d shards were read: %v", shards, found)
	}
	file := filepath.Join(l.dir(s), namesFile)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(text)
	flipped[len(flipped)/2] ^= 1
	for what, bad := range map[string][]byte{"flipped": flipped, "cut": text[:len(text)-1], "empty": nil, "of another": []byte("nuka names 2\n")} {
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		n, same := look()
		if n != 3 { // of all shards of the feed, which the other names fall into
			t.Errorf("%s: %d shards were read", what, n)
		}
		if diff := cmp.Diff(found, same); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	s = namedFeed(t, l, "a", "b", "@scope/c", "other7") // from damaged names to right ones
	if shards, found := look(); shards != 3 || len(found) != 3 {
		t.Errorf("after an update: %d shards were read: %v", shards, found)
	}
}

// Names of shards that stay are not looked up again.
func TestNamesKept(t *testing.T) {
	l := lockedFolder(t)
	s := namedFeed(t, l, "a", "b")
	tree, err := l.Tree(s)
	if err != nil {
		t.Fatal(err)
	}
	none := &opened{FS: fstest.MapFS{}}
	dir := t.TempDir()
	if err := (&Tree{files: none, Manifest: tree.Manifest}).writeNames(t.Context(), dir, tree); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tree.names, readNames(os.DirFS(dir))); diff != "" || len(none.list) > 0 || len(tree.names) != 2 {
		t.Errorf("%v were opened; %s", none.list, diff)
	}
	// A shard that cannot be read is not known.
	if err := (&Tree{files: none, Manifest: tree.Manifest}).writeNames(t.Context(), t.TempDir(), nil); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tree.writeNames(gone, t.TempDir(), nil); err == nil {
		t.Error("an interrupted update wrote names")
	}
}

func FuzzNames(f *testing.F) {
	f.Add(names{{1}: []byte("12345678")}.encode())
	f.Add(names{}.encode())
	f.Fuzz(func(t *testing.T, text []byte) {
		n := decodeNames(text)
		for hash := range n {
			n.lacks(fmt.Sprintf("%x", hash), "a")
		}
		if n != nil && len(n) > len(text)/hashSize {
			t.Errorf("%d shards in %d bytes", len(n), len(text))
		}
	})
}
