package digest

import (
	"testing"
	"testing/fstest"
)

// TestSources checks that the digest depends on the code of a program, and not on its tests.
func TestSources(t *testing.T) {
	fsys := fstest.MapFS{"a.go": {Data: []byte("a")}, "b/b.go": {Data: []byte("b")}, "a_test.go": {Data: []byte("t")}}
	first := Sources(fsys)
	fsys["a_test.go"] = &fstest.MapFile{Data: []byte("other")}
	if Sources(fsys) != first {
		t.Error("it follows the tests")
	}
	seen := map[string]bool{first: true}
	for _, change := range []func(){
		func() { fsys["a.go"] = &fstest.MapFile{Data: []byte("x")} },
		func() { fsys["b/b.go"] = &fstest.MapFile{Data: []byte("x")} },
		func() { fsys["c.go"] = fsys["a.go"] },
		func() { delete(fsys, "a.go") },
	} {
		change()
		seen[Sources(fsys)] = true
	}
	if len(seen) != 5 {
		t.Errorf("5 programs have %d digests", len(seen))
	}
}
