package realize

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/fhs"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
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

// TestMergeIsAnImport checks that an environment has the CID that an import of the merged files has.
func TestMergeIsAnImport(t *testing.T) {
	s := castest.Open(t, t.TempDir(), nil)
	want := fstest.MapFS{}
	var packages []fhs.Package
	o := &cas.ComposeOptions{}
	for i, tree := range []fstest.MapFS{castest.Tree(), castest.WideTree(), castest.Tree(), {"wide/more": {Data: []byte("more")}, "none": {Mode: fs.ModeDir | 0o755}}} {
		root, err := s.Import(t.Context(), tree, nil)
		if err != nil {
			t.Fatal(err)
		}
		o.Parts = append(o.Parts, root)
		packages = append(packages, fhs.Package{Name: fmt.Sprint(i)})
		maps.Copy(want, tree)
	}
	got, tree, err := compose(t.Context(), s, "", packages, o)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := s.Import(t.Context(), want, nil)
	if err != nil || got != whole {
		t.Errorf("got %s, want %s (%v)", got, whole, err)
	}
	size := int64(0)
	for e, err := range s.Entries(t.Context(), whole) {
		if err != nil {
			t.Fatal(err)
		}
		size += e.Size
	}
	if tree.Size != size {
		t.Errorf("got %d bytes, want %d", tree.Size, size)
	}
}

// TestLayout composes a tree of two Debian packages and another package, with data that is derived from them.
func TestLayout(t *testing.T) {
	f := newFixture(t)
	packages := map[string]pir.PID{
		"netbase": f.build("netbase", "DEBIAN/control=Package: netbase; etc/protocols=p; bin/x.net=x; DEBIAN/postinst=update-alternatives --install /usr/bin/x x /bin/x.net 5", nil),
		"libc":    f.build("libc", "DEBIAN/control=Package: libc6; lib64/ld=l; lib/x/y=y; run/empty=e", nil),
		"tool":    f.build("tool", "bin/tool=t; share/doc/tool=d", nil),
	}
	p := &pir.PIR{Kind: pir.Env, Name: "env", Packages: packages, Layout: pir.LayoutFHS1}
	id := f.add(p)
	if _, err := f.r.Realize(t.Context(), f.request(id)); err != nil {
		t.Fatal(err)
	}
	const want = "etc/hosts=127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost ip6-loopback\nff02::1\t\tip6-allnodes\nff02::2\t\tip6-allrouters\n\n; " +
		"etc/networks=default\t\t0.0.0.0\nloopback\t127.0.0.0\nlink-local\t169.254.0.0\n\n; etc/protocols=p; run/empty=e; " +
		"usr/bin/tool=t; usr/bin/x.net=x; usr/lib/x/y=y; usr/lib64/ld=l; usr/share/doc/tool=d"
	if diff := cmp.Diff(want, f.text(t, id)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	root, err := f.store.CID(id)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for e, err := range f.store.Entries(t.Context(), root) {
		if size += e.Size; err != nil {
			t.Fatal(err)
		}
	}
	for a, err := range f.store.Attestations(id) {
		if err != nil || a.Size != size {
			t.Errorf("got the size %d, want %d (%v)", a.Size, size, err)
		}
	}
	for at, target := range map[string]string{"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "usr/bin/x": "x.net"} {
		if e, err := f.store.Lookup(t.Context(), root, at); err != nil || e.Target != target {
			t.Errorf("%s: got %+v, %v, want a link to %s", at, e, err, target)
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

// A link whose target changes with its place in the layout becomes another link. Peers receive the tree: each size that it states is right.
func TestLayoutRetargets(t *testing.T) {
	s := castest.Open(t, t.TempDir(), nil)
	root, err := s.Import(t.Context(), fstest.MapFS{
		"DEBIAN/control": {Data: []byte("Package: x\n")}, "bin/y": {Data: []byte("y"), Mode: 0o755},
		"etc/x": {Data: []byte("/bin/y"), Mode: fs.ModeSymlink | 0o777}, "lib/z/x": {Data: []byte("../../etc/x"), Mode: fs.ModeSymlink | 0o777},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := compose(t.Context(), s, pir.LayoutFHS1, []fhs.Package{{Name: "x"}}, &cas.ComposeOptions{Parts: []cid.CID{root}})
	if err != nil {
		t.Fatal(err)
	}
	links := map[string]string{}
	for e, err := range s.Entries(t.Context(), got) {
		if err != nil {
			t.Fatal(err)
		}
		links[e.Path] = e.Target
	}
	if links["etc/x"] != "../usr/bin/y" || links["usr/lib/z/x"] != "../../../etc/x" {
		t.Errorf("got %q", links)
	}
	other := castest.Open(t, t.TempDir(), nil)
	if err := castest.Receive(other, s, got, rand.New(rand.NewPCG(1, 1))); err != nil {
		t.Error(err)
	}
}
