package apt

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/apt/apttest"
)

const foundContents = `usr/bin/foo-config  devel/libfoo-dev
usr/include/foo/foo.h  libdevel/libfoo-dev
usr/include/foo.h  libdevel/libc-old-dev
usr/include/x86_64-linux-gnu/bar.h  libdevel/libbar-dev,libdevel/libbar-extra-dev,libdevel/gone
usr/lib/x86_64-linux-gnu/pkgconfig/foo.pc  libdevel/libfoo-dev
usr/share/doc/foo.pc/foo.h  doc/libfoo-doc
usr/share/doc/readme  doc/libfoo-doc
`

const foundForAll = `usr/share/pkgconfig/proto.pc  x11/proto-dev
`

// findFixture is an archive with contents files.
func findFixture(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	for _, name := range []string{"libfoo-dev", "libc-old-dev", "libbar-dev", "libbar-extra-dev", "libfoo-doc", "proto-dev"} {
		f.suite.Packages["amd64"] += apttest.Stanza(name, "1", "Priority: optional")
	}
	f.suite.Contents = map[string]string{"amd64": foundContents, "all": foundForAll}
	f.Put(t, f.suite, f.key)
	return f
}

// TestFind looks up files in the order of their patterns, in the files for all architectures only if need be, and afterwards without the network.
func TestFind(t *testing.T) {
	f := findFixture(t)
	find := func(sought ...Sought) []string {
		t.Helper()
		got, err := f.loader.Find(t.Context(), f.wanted, []string{"main"}, "amd64", nil, sought)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := find(Sought{"usr/include/bar.h", "usr/include/x86_64-linux-gnu/bar.h"}, Sought{"usr/include/foo.h", "usr/include/*/foo.h"}, Sought{"usr/bin/foo-config"},
		Sought{"usr/lib/x86_64-linux-gnu/pkgconfig/foo.pc"})
	if diff := cmp.Diff([]string{"libbar-dev", "libc-old-dev", "libfoo-dev", "libfoo-dev"}, got); diff != "" {
		t.Error(diff)
	}
	if asked := strings.Join(f.Got(), " "); strings.Contains(asked, "Contents-all") {
		t.Errorf("all was found, and the other contents file was read: %s", asked)
	}
	got = find(Sought{"usr/include/*/foo.h"}, Sought{"usr/share/pkgconfig/proto.pc"}, Sought{"usr/bin/none"})
	if diff := cmp.Diff([]string{"libfoo-dev", "proto-dev", ""}, got); diff != "" {
		t.Error(diff)
	}
	f.loader.Getter = nil
	if got := find(Sought{"usr/share/pkgconfig/proto.pc"}, Sought{"usr/include/foo.h"}); !cmp.Equal(got, []string{"proto-dev", "libc-old-dev"}) {
		t.Errorf("without network: got %v", got)
	}
}

// TestFindHostile has contents files that are torn, too large in a line, or that the archive did not sign.
func TestFindHostile(t *testing.T) {
	sought := []Sought{{"usr/bin/foo-config"}}
	t.Run("a torn cache is made again", func(t *testing.T) {
		f := findFixture(t)
		for range 2 {
			got, err := f.loader.Find(t.Context(), f.wanted, []string{"main"}, "amd64", nil, sought)
			if err != nil || got[0] != "libfoo-dev" {
				t.Fatalf("got %v, %v", got, err)
			}
			files, err := filepath.Glob(filepath.Join(f.loader.Cache, "*Contents*"))
			if err != nil || len(files) != 1 {
				t.Fatalf("the cache has %v, %v", files, err)
			}
			b, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(files[0], b[:len(b)/2], 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("another file than the signed one", func(t *testing.T) {
		f := findFixture(t)
		f.Set("dists/trixie/main/Contents-amd64.gz", apttest.Gzip("usr/bin/foo-config  devel/libfoo-doc\n"))
		_, err := f.loader.Find(t.Context(), f.wanted, []string{"main"}, "amd64", nil, sought)
		if protocol.CodeOf(err) != protocol.Mismatch {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an endless line", func(t *testing.T) {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		for range 2 << 10 {
			if _, err := z.Write(bytes.Repeat([]byte("a"), 1<<10)); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		plain, err := gzip.NewReader(&packed)
		if err != nil {
			t.Fatal(err)
		}
		if err := newFinder(NewIndex("amd64"), sought).read(plain); protocol.CodeOf(err) != protocol.Invalid {
			t.Errorf("got %v", err)
		}
	})
	t.Run("too many at once", func(t *testing.T) {
		f := findFixture(t)
		if _, err := f.loader.Find(t.Context(), f.wanted, []string{"main"}, "amd64", nil, make([]Sought, maxSought+1)); protocol.CodeOf(err) != protocol.Exhausted {
			t.Errorf("got %v", err)
		}
	})
}
