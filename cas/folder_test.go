package cas_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir/cid"
)

// Folder by folder a tree is what Entries tells of it, also where a folder is in shards.
func TestFolder(t *testing.T) {
	s, err := cas.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // nothing was left to write
	large := make([]byte, 3<<20)
	files := fstest.MapFS{
		"a/b/c/f": {Data: []byte("f")}, "a/exec": {Data: []byte("x"), Mode: 0o755}, "a/large": {Data: large}, "a/largeexec": {Data: large, Mode: 0o755},
		"a/link": {Data: []byte("b/c"), Mode: fs.ModeSymlink | 0o777}, "empty": {},
	}
	for i := range 15_000 {
		files[fmt.Sprintf("many/%060d", i)] = &fstest.MapFile{}
	}
	root, err := s.Import(t.Context(), files, nil)
	if err != nil {
		t.Fatal(err)
	}
	var want, got []cas.Entry
	for e, err := range s.Entries(t.Context(), root) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, e)
	}
	var walk func(at string, c cid.CID)
	walk = func(at string, c cid.CID) {
		for e, err := range s.Folder(t.Context(), c) {
			if err != nil {
				t.Fatalf("%s: %v", at, err)
			}
			e.Path = path.Join(at, e.Path)
			got = append(got, e)
			if e.Kind == cas.Dir {
				walk(e.Path, e.CID)
			}
		}
	}
	walk("", root)
	if d := cmp.Diff(want[1:], got, cmp.Comparer(func(a, b cid.CID) bool { return a == b })); d != "" {
		t.Errorf("-entries +folders\n%s", d)
	}
	for _, err := range s.Folder(t.Context(), cid.Sum(cid.DagPB, nil)) {
		if !errors.Is(err, cas.ErrNotFound) {
			t.Errorf("an absent one: got %v", err)
		}
	}
	for _, name := range []string{"a/exec", "a/link", "empty", "a/large"} {
		e, err := s.Lookup(t.Context(), root, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range s.Folder(t.Context(), e.CID) {
			if err == nil {
				t.Errorf("%s is read as a folder", name)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range s.Folder(ctx, root) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
}
