package realize

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// TestMerge checks the ways out of a conflict between the packages of an environment.
func TestMerge(t *testing.T) {
	f := newFixture(t)
	packages := map[string]pir.PID{
		"a": f.build("a", "bin/x=of a; share/doc/a=a; lib=a file", nil),
		"b": f.build("b", "bin/x=of b; share/doc/b=b; lib/sub/b=b", nil),
	}
	env := func(merge map[string]pir.Merge) *pir.PIR {
		return &pir.PIR{Kind: pir.Env, Name: "env", Packages: packages, Merge: merge}
	}
	for _, c := range []struct {
		name  string
		merge map[string]pir.Merge
		want  string // the files with their texts, or the error
	}{
		{"none", nil, "error: a and b both have bin/x, and they differ"},
		{"a wins", map[string]pir.Merge{"a": {Priority: 1}}, "bin/x=of a; lib=a file; share/doc/a=a; share/doc/b=b"},
		{"b wins", map[string]pir.Merge{"a": {Priority: -1}}, "bin/x=of b; lib/sub/b=b; share/doc/a=a; share/doc/b=b"},
		{"both are raised", map[string]pir.Merge{"a": {Priority: 1}, "b": {Priority: 1}}, "error: a and b both have bin/x, and they differ"},
		{"leave one file", map[string]pir.Merge{"a": {Leave: []string{"bin/*"}}}, "error: a and b both have lib, and they differ"},
		{"leave", map[string]pir.Merge{"b": {Leave: []string{"bin/x", "lib"}}}, "bin/x=of a; lib=a file; share/doc/a=a; share/doc/b=b"},
		{
			"rename", map[string]pir.Merge{"b": {Rename: map[string]string{"bin/x": "opt/new/y", "lib": "lib-b"}}},
			"bin/x=of a; lib=a file; lib-b/sub/b=b; opt/new/y=of b; share/doc/a=a; share/doc/b=b",
		},
		{"rename onto itself", map[string]pir.Merge{"b": {Rename: map[string]string{"bin/x": "share/doc/b", "lib": "l"}}}, "error: two files of b become share/doc/b"},
		{"rename below a file", map[string]pir.Merge{"b": {Rename: map[string]string{"bin/x": "lib/x"}}}, "error: a and b both have lib, and they differ"},
	} {
		id := f.add(env(c.merge))
		_, err := f.r.Realize(t.Context(), f.request(id))
		got := ""
		if err != nil {
			e := protocol.AsError(err)
			got = e.Message
			if e.Hint == "" {
				t.Errorf("%s: no hint", c.name)
			}
		} else {
			got = f.text(t, id)
		}
		want, failed := strings.CutPrefix(c.want, "error: ")
		if failed && strings.Contains(got, want) {
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", c.name, diff)
		}
	}
	f.clean()
}

// text returns the files of a package with their texts.
func (f *fixture) text(t *testing.T, id pir.PID) string {
	t.Helper()
	root, err := f.store.CID(id)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for e, err := range f.store.Entries(t.Context(), root) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind != cas.File {
			continue
		}
		b, err := f.store.OpenFile(t.Context(), e.CID)
		if err != nil {
			t.Fatal(err)
		}
		text := make([]byte, e.Size)
		if _, err := b.Read(text); err != nil {
			t.Fatal(err)
		}
		b.Close()
		files = append(files, e.Path+"="+string(text))
	}
	return strings.Join(files, "; ")
}
