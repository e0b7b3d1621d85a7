package nu

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/wasmrt"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// cacheBox evaluates /work/a.nu with a cache, from files that a test can change.
type cacheBox struct {
	t    *testing.T
	e    *Engine
	work fstest.MapFS
	lib  fstest.MapFS
}

func newCacheBox(t *testing.T) *cacheBox {
	b := &cacheBox{t: t, work: fstest.MapFS{}, lib: fstest.MapFS{}}
	b.e = testEngine(t, &Options{CacheDir: t.TempDir()})
	b.write("a.nu", "use b.nu\nexport def main [--x] { derivation {name: a, version: \"1\", src: (fetch path ./src), packages: [(b)], build: {|b| print $x}} }")
	b.write("src/main.c", "int main() {}\n")
	b.lib["b.nu"] = &fstest.MapFile{Data: []byte("export def main [] { print hi; derivation {name: b, data: 1} }")}
	return b
}

func (b *cacheBox) write(name, text string) { b.work[name] = &fstest.MapFile{Data: []byte(text)} }

func (b *cacheBox) eval(cached bool, args ...string) *Result {
	b.t.Helper()
	res, err := b.e.Eval(b.t.Context(), &Request{File: "/work/a.nu", Args: args, Sets: []Mount{
		{Path: "/packages", FS: b.lib, Library: true}, {Path: "/work", FS: b.work, Host: "/host"},
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	if res.Cached != cached {
		b.t.Errorf("got cached %v, want %v", res.Cached, cached)
	}
	return res
}

func TestCache(t *testing.T) {
	b := newCacheBox(t)
	first := b.eval(false)
	again := b.eval(true)
	again.Cached = false
	if d := cmp.Diff(first, again, cmpopts.EquateComparable(cid.CID{})); d != "" {
		t.Errorf("cached result: -want +got:\n%s", d)
	}
	if len(first.Messages) != 1 || first.Paths[0].Host != "/host/src" || len(first.Reads) != 2 || len(first.Missing) != 1 {
		t.Errorf("got %+v", first)
	}
	if other := b.eval(false, "--x"); other.Root == first.Root {
		t.Error("another argument gave the same package")
	}
	b.eval(true, "--x")

	b.lib["b.nu"] = &fstest.MapFile{Data: []byte("export def main [] { derivation {name: b, data: 2} }")}
	changed := b.eval(false)
	if changed.Root == first.Root {
		t.Error("another dependency gave the same package")
	}
	b.eval(true)
	b.write("src/main.c", "int main() { return 1; }\n")
	if res := b.eval(false); res.Root == changed.Root {
		t.Error("another source gave the same package")
	}
	b.eval(true)
	// A new file in the user's folder takes precedence over the library's.
	b.write("b.nu", "export def main [] { derivation {name: b, data: 3} }")
	b.eval(false)
	b.eval(true)
}

func TestCacheDamaged(t *testing.T) {
	b := newCacheBox(t)
	want := b.eval(false)
	b.eval(true)
	damage := func(change func([]byte) []byte) {
		err := filepath.WalkDir(b.e.opts.CacheDir, func(name string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			old, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			return os.WriteFile(name, change(old), 0o644)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func([]byte) []byte{
		"empty":     func([]byte) []byte { return nil },
		"cut":       func(b []byte) []byte { return b[:len(b)/2] },
		"bit":       func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"other":     func([]byte) []byte { return []byte(`{"sum":"","result":{}}`) },
		"no result": func([]byte) []byte { return []byte(`{}`) },
	} {
		damage(change)
		res := b.eval(false)
		if res.Root != want.Root {
			t.Errorf("%s: got another package", name)
		}
		b.eval(true)
	}
}

// TestCacheHitLoadsNothing evaluates from the cache with a runtime that cannot run modules.
func TestCacheHitLoadsNothing(t *testing.T) {
	b := newCacheBox(t)
	b.eval(false)
	rt, err := wasmrt.New(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := rt.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.e = testEngine(t, &Options{CacheDir: b.e.opts.CacheDir, Runtime: rt})
	b.eval(true)
}
