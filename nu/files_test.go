package nu

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// TestLinks follows symbolic links within a mount and refuses those that lead out of it.
func TestLinks(t *testing.T) {
	top := t.TempDir()
	root := filepath.Join(top, "set")
	for name, text := range map[string]string{"set/lib/a.nu": "# a", "set/b.nu": "# b", "secret.nu": "# secret", "set/dir/mod.nu": "# mod"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(top, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(top, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		"in.nu": "lib/a.nu", "lib/up.nu": "../b.nu", "out.nu": "../secret.nu", "lib/out.nu": "../../secret.nu", "abs.nu": filepath.Join(top, "secret.nu"),
		"folder": "..", "loop.nu": "loop.nu", "twice.nu": "lib/up.nu", "back": "lib/..",
	} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, path, err string }{
		{"b.nu", "/set/b.nu", ""},
		{"in.nu", "/set/lib/a.nu", ""},
		{"lib/up.nu", "/set/b.nu", ""},
		{"twice.nu", "/set/b.nu", ""},
		{"back/b.nu", "/set/b.nu", ""},
		{"dir", "/set/dir/mod.nu", ""},
		{"dir/mod.nu", "/set/dir/mod.nu", ""},
		{"out.nu", "", "leads out of"},
		{"lib/out.nu", "", "leads out of"},
		{"abs.nu", "", "leads out of"},
		{"folder/secret.nu", "", "leads out of"},
		{"loop.nu", "", "leads out of"},
		{"../secret.nu", "", "leaves the folder"},
		{"lib/../../secret.nu", "", "leaves the folder"},
		{filepath.Join(top, "secret.nu"), "", "absolute path"},
		{"lib", "", "not found"},
		{"none.nu", "", "not found"},
		{"b.nu/x.nu", "", "not found"},
		{"a\x00.nu", "", "no such name"},
		{"lib\\a.nu", "", "no such name"},
		{"", "", "no such name"},
	} {
		f, err := newFileSet([]Mount{{Path: "/set", FS: os.DirFS(root)}})
		if err != nil {
			t.Fatal(err)
		}
		l, err := f.load("/set/main.nu", c.name)
		switch {
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%q: got error %v, want %q", c.name, err, c.err)
		case c.err == "" && err != nil:
			t.Errorf("%q: %v", c.name, err)
		case c.err == "" && l.Path != c.path:
			t.Errorf("%q: got %s, want %s", c.name, l.Path, c.path)
		}
	}
}

func TestLibrary(t *testing.T) {
	lib := fstest.MapFS{"tool/c.nu": {Data: []byte("# lib")}, "x.nu": {Data: []byte("# lib")}, "big.nu": {Data: make([]byte, maxSource+1)}, "bin.nu": {Data: []byte("\xff")}}
	work := fstest.MapFS{"x.nu": {Data: []byte("# work")}, "sub/y.nu": {Data: []byte("# work")}}
	f, err := newFileSet([]Mount{{Path: "/packages", FS: lib, Library: true}, {Path: "/work", FS: work}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, name, want string }{
		{"/work/a.nu", "tool/c.nu", "/packages/tool/c.nu"},
		{"/work/a.nu", "x.nu", "/work/x.nu"},
		{"/work/sub/a.nu", "x.nu", "/packages/x.nu"},
		{"/work/sub/a.nu", "../x.nu", "/work/x.nu"},
		{"/work/a.nu", "./tool/c.nu", ""},
		{"/packages/tool/c.nu", "x.nu", "/packages/x.nu"},
		{"/packages/x.nu", "sub/y.nu", ""}, // the library does not see the user's folder
		{"/packages/x.nu", "../work/x.nu", ""},
		{"/packages/x.nu", "big.nu", ""},
		{"/packages/x.nu", "bin.nu", ""},
	} {
		l, err := f.load(c.from, c.name)
		if c.want == "" {
			if err == nil {
				t.Errorf("%s in %s: got %s, want an error", c.name, c.from, l.Path)
			}
		} else if err != nil || l.Path != c.want {
			t.Errorf("%s in %s: got %v, %v, want %s", c.name, c.from, l, err, c.want)
		}
	}
	for _, bad := range [][]Mount{
		{{Path: "/a", FS: lib}, {Path: "/a/b", FS: lib}},
		{{Path: "a", FS: lib}},
		{{Path: "/", FS: lib}},
		{{Path: "/a"}},
	} {
		if _, err := newFileSet(bad); err == nil {
			t.Errorf("mounts %v: got no error", bad)
		}
	}
}

// TestLibraries checks that the files of a library see it and the libraries after it, and no library before it.
func TestLibraries(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	f, err := newFileSet([]Mount{
		{Path: "/set", FS: fstest.MapFS{"lib/a.nu": file("set"), "lib/mine.nu": file("set"), "app/x.nu": file("")}, Library: true},
		{Path: "/packages", FS: fstest.MapFS{"lib/a.nu": file("packages"), "lib/b.nu": file("packages"), "app/x.nu": file("")}, Library: true},
		{Path: "/work", FS: fstest.MapFS{"x.nu": file("")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, name, want string }{
		{"/set/app/x.nu", "lib/a.nu", "set"}, {"/set/app/x.nu", "lib/b.nu", "packages"}, {"/packages/app/x.nu", "lib/a.nu", "packages"},
		{"/packages/app/x.nu", "lib/mine.nu", ""}, {"/work/x.nu", "lib/a.nu", "set"}, {"/work/x.nu", "lib/b.nu", "packages"},
	} {
		l, err := f.load(c.from, c.name)
		got := ""
		if err == nil {
			got = l.Text
		}
		if got != c.want {
			t.Errorf("use %s in %s: got %q, %v; want %q", c.name, c.from, got, err, c.want)
		}
	}
}
