package fhs

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A shelf holds the bytes of the packages' files.
type shelf map[cid.CID]string

func (s shelf) read(_ context.Context, e *Entry) ([]byte, error) {
	text, ok := s[e.CID]
	if !ok {
		return nil, fmt.Errorf("%s is not on the shelf", e.Path)
	}
	return []byte(text), nil
}

// pkg returns a package of files: a name that ends with a slash is a folder, a text that begins with "-> " a link.
func (s shelf) pkg(name string, files map[string]string) Package {
	p := Package{Name: name, Entries: []Entry{{Kind: Dir}}}
	made := map[string]bool{".": true}
	var folder func(dir string)
	folder = func(dir string) {
		if !made[dir] {
			folder(path.Dir(dir))
			made[dir] = true
			p.Entries = append(p.Entries, Entry{Path: dir, Kind: Dir})
		}
	}
	for _, at := range slices.Sorted(maps.Keys(files)) {
		text := files[at]
		if dir, ok := strings.CutSuffix(at, "/"); ok {
			folder(dir)
			continue
		}
		folder(path.Dir(at))
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			p.Entries = append(p.Entries, Entry{Path: at, Kind: Link, Target: target})
			continue
		}
		c := cid.Sum(cid.Raw, []byte(text))
		s[c] = text
		p.Entries = append(p.Entries, Entry{Path: at, Kind: File, Size: int64(len(text)), CID: c})
	}
	return p
}

// deb is pkg with a control file.
func (s shelf) deb(name string, files map[string]string) Package {
	if files = maps.Clone(files); files == nil {
		files = map[string]string{}
	}
	files["DEBIAN/control"] = "Package: " + name + "\nVersion: 1\n"
	return s.pkg(name, files)
}

// compose returns the tree of packages in the form of pkg, with folders only where they are empty.
func (s shelf) compose(t *testing.T, packages ...Package) (map[string]string, error) {
	t.Helper()
	tree, err := Compose(t.Context(), packages, s.read)
	if err != nil {
		return nil, err
	}
	return s.files(tree), nil
}

func (s shelf) files(tree *Tree) map[string]string {
	out := map[string]string{}
	full := map[string]bool{}
	for _, e := range tree.Entries {
		full[path.Dir(e.Path)] = true
	}
	for _, e := range tree.Entries {
		switch {
		case e.Kind == Dir && !full[e.Path]:
			out[e.Path+"/"] = ""
		case e.Kind == Link:
			out[e.Path] = "-> " + e.Target
		case e.Kind == File && e.CID.IsZero():
			out[e.Path] = string(e.Data)
		case e.Kind == File:
			out[e.Path] = s[e.CID]
		}
	}
	return out
}

func (s shelf) want(t *testing.T, want map[string]string, packages ...Package) {
	t.Helper()
	got, err := s.compose(t, packages...)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

func TestFold(t *testing.T) {
	s := shelf{}
	s.want(t, map[string]string{
		"bin": "-> usr/bin", "sbin": "-> usr/sbin", "lib": "-> usr/lib", "lib64": "-> usr/lib64",
		"usr/bin/dash": "d", "usr/bin/sh": "-> dash", "usr/bin/env": "e", "usr/sbin/init": "i", "usr/lib/x/libc.so.6": "c", "usr/lib64/ld.so": "-> ../lib/x/ld.so.1",
		"usr/lib/x/ld.so.1": "l", "usr/lib/x/libz.so": "-> libz.so.1", "usr/share/doc/dash/copyright": "c", "etc/x": "-> ../usr/bin/env", "var/lib/": "",
		"usr/lib/y/up": "-> ../../share/up", "usr/lib/y/same": "-> ../x/libc.so.6", "opt/tool/x": "x",
	},
		s.deb("dash", map[string]string{"bin/dash": "d", "bin/sh": "-> dash", "usr/share/doc/dash/copyright": "c"}),
		s.deb("coreutils", map[string]string{"usr/bin/env": "e", "etc/x": "-> /bin/env", "sbin/init": "i", "opt/tool/x": "x"}),
		s.deb("libc6", map[string]string{
			"lib/x/libc.so.6": "c", "lib/x/ld.so.1": "l", "lib64/ld.so": "-> /lib/x/ld.so.1", "usr/lib/x/libz.so": "-> libz.so.1",
			// Links that lead out of a folded folder are one folder deeper now.
			"lib/y/up": "-> ../../usr/share/up", "lib/y/same": "-> ../x/libc.so.6",
		}),
		// base-files of Debian 12 has the folders, that of Debian 13 the links.
		s.deb("base-12", map[string]string{"bin/": "", "lib/": "", "sbin/": "", "proc/": "", "dev/": "", "sys/": "", "run/lock/": "", "home/": "", "root/": "", "tmp/": "", "var/lib/": "", "mnt/": ""}),
		s.deb("base-13", map[string]string{"bin": "-> usr/bin", "sbin": "-> usr/sbin", "lib": "-> usr/lib", "lib64": "-> usr/lib64", "usr/bin/": "", "usr/lib64/": "", "usr/sbin/": ""}),
	)
}

func TestLinks(t *testing.T) {
	for _, c := range []struct{ at, to, target, want string }{
		{"etc/a", "etc/a", "/etc/b", "b"},
		{"etc/a", "etc/a", "/", ".."},
		{"a", "a", "/", "."},
		{"a", "a", "/b", "b"},
		{"etc/mtab", "etc/mtab", "/proc/mounts", "../proc/mounts"},
		{"usr/lib/x/a", "usr/lib/x/a", "/lib/x/b", "b"},
		{"usr/lib/x/a", "usr/lib/x/a", "/usr/lib/y/b/", "../y/b"},
		{"usr/lib/x/a", "usr/lib/x/a", "//lib//y/./b", "../y/b"},
		{"usr/lib/x/a", "usr/lib/x/a", "/usr/lib/../b", "../../../usr/lib/../b"},
		{"usr/lib/x/a", "usr/lib/x/a", "../y", "../y"},
		{"usr/lib/x/a", "usr/lib/x/a", "y", "y"},
		{"usr/lib/x/a", "usr/lib/x/a", "../../../lib/y", "../../../lib/y"}, // through the link at the root
		{"lib/x/a", "usr/lib/x/a", "../../etc/y", "../../../etc/y"},
		{"lib/x/a", "usr/lib/x/a", "../../lib/y", "../../lib/y"},
		{"lib/x/a", "usr/lib/x/a", "../../usr/lib/y", "../y"},
		{"lib/x/a", "usr/lib/x/a", "../../../../y", "../../../../y"},
		{"bin/a", "usr/bin/a", "../sbin/y", "../sbin/y"},
		{"bin/a", "usr/bin/a", "../opt/y", "../../opt/y"},
		{"bin/a", "usr/bin/a", "/" + strings.Repeat("n/", 2047), "/" + strings.Repeat("n/", 2047)}, // too long if it were relative
	} {
		if got := retarget(c.at, c.to, c.target); got != c.want {
			t.Errorf("%s → %.100s: got %.100s, want %.100s", c.at, c.target, got, c.want)
		}
	}
}

// TestOthers has packages that are not Debian's: built with a prefix, trees that have usr, and neither.
func TestOthers(t *testing.T) {
	s := shelf{}
	s.want(t, map[string]string{
		"bin": "-> usr/bin", "lib": "-> usr/lib", "usr/bin/lua": "l", "usr/bin/luac": "-> lua", "usr/share/man/lua.1": "m", "usr/LICENSE": "mit", "usr/bin/env": "e",
		"usr/lib/store": "-> /nuka/store/x", "etc/own": "o", "usr/bin/tool": "t", "data/x": "d", "usr/bin/sh": "s",
	},
		s.pkg("lua", map[string]string{"bin/lua": "l", "bin/luac": "-> lua", "share/man/lua.1": "m", "LICENSE": "mit", "lib/store": "-> /nuka/store/x"}),
		s.pkg("tree", map[string]string{"bin": "-> usr/bin", "usr/bin/tool": "t", "etc/own": "o", "usr/bin/sh": "s"}),
		s.pkg("data", map[string]string{"data/x": "d"}),
		s.deb("coreutils", map[string]string{"bin/env": "e"}),
	)
	for name, files := range map[string]map[string]string{
		"bin is a file": {"usr/x": "x", "bin": "text"}, "lib leads elsewhere": {"usr/x": "x", "lib": "-> opt/lib"}, "sbin leads up": {"usr/x": "x", "sbin": "-> ../../usr/sbin/x"},
	} {
		if got, err := s.compose(t, s.pkg("odd", files)); protocol.CodeOf(err) != protocol.Invalid || !strings.Contains(err.Error(), "odd") || protocol.AsError(err).Hint == "" {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

// TestConflicts has two packages with different files at one path after folding, and the ways out of it.
func TestConflicts(t *testing.T) {
	s := shelf{}
	both := func(a, b pir.Merge) []Package {
		first, second := s.deb("a", map[string]string{"bin/x": "of a", "usr/share/same": "s"}), s.deb("b", map[string]string{"usr/bin/x": "of b", "usr/share/same": "s"})
		first.Merge, second.Merge = a, b
		return []Package{first, second}
	}
	_, err := s.compose(t, both(pir.Merge{}, pir.Merge{})...)
	if e := protocol.AsError(err); e == nil || !strings.Contains(e.Message, "a and b both have usr/bin/x") || !strings.Contains(e.Hint, "--leave usr/bin/x") {
		t.Errorf("got %+v", e)
	}
	for name, c := range map[string]struct {
		a, b pir.Merge
		want map[string]string
	}{
		"priority": {pir.Merge{}, pir.Merge{Priority: 1}, map[string]string{"usr/bin/x": "of b"}},
		"leave":    {pir.Merge{Leave: []string{"bin/x"}}, pir.Merge{}, map[string]string{"usr/bin/x": "of b"}},
		"rename":   {pir.Merge{Rename: map[string]string{"bin/x": "bin/y"}}, pir.Merge{}, map[string]string{"usr/bin/x": "of b", "usr/bin/y": "of a"}},
	} {
		got, err := s.compose(t, both(c.a, c.b)...)
		c.want["bin"], c.want["usr/share/same"] = "-> usr/bin", "s"
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
		}
	}
	_, err = s.compose(t, s.deb("a", map[string]string{"bin/x": "1", "usr/bin/x": "2"}))
	if err == nil || !strings.Contains(err.Error(), "two files of a become usr/bin/x") {
		t.Errorf("one package: got %v", err)
	}
}

// TestOrder composes packages in many orders: the tree is the same.
func TestOrder(t *testing.T) {
	s := shelf{}
	r := rand.New(rand.NewPCG(1, 2))
	var want map[string]string
	for range 50 {
		var list []Package
		for i := range 6 {
			p := s.deb(fmt.Sprint("p", i), map[string]string{
				fmt.Sprintf("usr/bin/tool.%d", i): "t", "usr/share/x": fmt.Sprint("x", i), fmt.Sprintf("usr/share/ca-certificates/%d.crt", 9-i): fmt.Sprint("c", i), "usr/lib/jvm/.j.jinfo": "j",
				"DEBIAN/postinst": fmt.Sprintf("update-alternatives --install /usr/bin/tool tool /usr/bin/tool.%d %d\nupdate-alternatives --install /usr/bin/other other%d /usr/bin/tool.%d 1\n", i, i/2, i%2, i),
			})
			p.Merge.Priority = i / 4 * i
			list = append(list, p)
		}
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		// p0 to p3 have different files usr/share/x, and p5 the largest priority.
		got, err := s.compose(t, list...)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("-first +other\n%s", diff)
		}
	}
	for i := range 4 {
		a, b := s.deb("a", map[string]string{"usr/x": "a"}), s.deb("b", map[string]string{"usr/x": "b"})
		list := []Package{a, b}
		if i%2 == 0 {
			list = []Package{b, a}
		}
		if _, err := s.compose(t, list...); err == nil || !strings.Contains(err.Error(), "a and b both have usr/x") {
			t.Errorf("got %v", err)
		}
	}
	if want["usr/share/x"] != "x5" || want["usr/bin/tool"] != "-> tool.4" {
		t.Errorf("got %v", want)
	}
}
