package nu

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/packages"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/source"
	"github.com/MordragT/nuka/source/apt"
)

// debsFile returns a package file whose inputs are the Debian packages that some roots need.
func debsFile(roots, flags string) []Mount {
	text := fmt.Sprintf("use base/debian.nu\nexport def main [] {\n  derivation {name: x, version: \"1\", packages: (debian debs [%s] %s), build: {|b| mkdir $b.out }}\n}\n", roots, flags)
	return []Mount{{Path: "/packages", FS: packages.FS, Library: true}, {Path: "/work", FS: fstest.MapFS{"x.nu": {Data: []byte(text)}}, Host: "."}}
}

// shippedLock reads a lock file of the set in nuka.
func shippedLock(t testing.TB, arch string) *apt.Lock {
	t.Helper()
	text, err := packages.FS.ReadFile("base/debian/" + arch + ".nu")
	if err != nil {
		t.Fatal(err)
	}
	l, err := apt.DecodeLock(text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestDebs compares the packages that debian.nu takes from the lock files with those that Go takes.
func TestDebs(t *testing.T) {
	e := testEngine(t, nil)
	for _, arch := range []string{"amd64", "arm64"} {
		l := shippedLock(t, arch)
		for group, roots := range l.Roots {
			res, err := e.Eval(t.Context(), &Request{Sets: debsFile(fmt.Sprintf("...(debian group %s)", group), "--arch "+arch), File: "/work/x.nu"})
			if err != nil {
				t.Fatalf("%s %s: %v", arch, group, err)
			}
			var got, want []string
			for _, p := range res.Packages {
				for _, o := range p.Origins {
					rec, err := nuon.DecodeRecord(o)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, fmt.Sprint(rec["kind"], rec["name"], rec["version"], rec["arch"], rec["path"], strings.Contains(string(p.Canonical), `"deb-raw"`)))
				}
			}
			pins, err := l.Closure(roots)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range pins {
				want = append(want, fmt.Sprint("deb", p.Name, p.Version, arch, p.Path, true))
			}
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s %s: %s", arch, group, diff)
			}
		}
	}
}

func TestDebsRefuses(t *testing.T) {
	e := testEngine(t, nil)
	for call, want := range map[string]string{
		"[nope]":                     "the lock file for amd64 has no package nope",
		"[libc6] --arch sparc":       "there is no lock file for the architecture sparc",
		"[libc6 ] --without [libc6]": "",
	} {
		roots, flags, _ := strings.Cut(strings.TrimPrefix(call, "["), "]")
		res, err := e.Eval(t.Context(), &Request{Sets: debsFile(roots, flags), File: "/work/x.nu"})
		if want == "" && (err != nil || len(res.Packages) != 1) || want != "" && (err == nil || !strings.Contains(fmt.Sprint(err), want)) {
			t.Errorf("%s: got %v, %v; want %q", call, res, err, want)
		}
	}
}

// BenchmarkDebs evaluates a package file with 60 Debian packages, and one without any.
func BenchmarkDebs(b *testing.B) {
	e, err := New(b.Context(), &Options{Runtime: testRuntime, Kinds: source.Table()})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	for name, sets := range map[string][]Mount{
		"python": debsFile("...(debian group base) ...(debian group python)", "--without [dpkg]"),
		"none":   debsFile("", ""),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := e.Eval(b.Context(), &Request{Sets: sets, File: "/work/x.nu"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
