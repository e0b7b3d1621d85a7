package cas_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/pir/cid"
)

func readFile(t *testing.T, s *cas.Store, c cid.CID) string {
	t.Helper()
	f, err := s.OpenFile(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSmoke(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "store")
	s := castest.Open(t, dir, nil)
	big := make([]byte, 5<<20+3)
	for i := range big {
		big[i] = byte(i * i >> 7)
	}
	tree := fstest.MapFS{
		"bin/x":   {Data: []byte("hello"), Mode: 0o755},
		"share/x": {Data: []byte("hello"), Mode: 0o644},
		"big":     {Data: big, Mode: 0o644},
		"empty":   {Mode: 0o644},
		"dir":     {Mode: 0o755 | os.ModeDir},
		"link":    {Data: []byte("bin/x"), Mode: 0o777 | os.ModeSymlink},
	}
	c, err := s.Import(ctx, tree, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := cid.HashTree(ctx, tree, nil)
	if err != nil || c != want {
		t.Fatalf("got %s, want %s (%v)", c, want, err)
	}
	for range 2 {
		for e, err := range s.Entries(ctx, c) {
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", e)
			if e.Kind == cas.File && readFile(t, s, e.CID) != string(tree[e.Path].Data) {
				t.Errorf("%s has other bytes", e.Path)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = castest.Open(t, dir, nil)
	}
	e, err := s.Lookup(ctx, c, "bin/x")
	if err != nil || !e.Exec || e.Size != 5 {
		t.Errorf("%+v, %v", e, err)
	}
}
