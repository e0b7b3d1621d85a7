package apt

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/apt/apttest"
)

func testLock(t testing.TB) *Lock {
	t.Helper()
	s := apttest.Stanza
	x := index(t, s("aa", "1:2-1", "Depends: bb | zz, cc")+s("bb", "1")+strings.ReplaceAll(s("cc", "1"), "_1_amd64.deb", "_odd.deb")+s("dd", "1", "Depends: bb"))
	x.Suites = []SuiteDate{{"trixie", testTime}, {"trixie-security", testTime.Add(time.Hour)}}
	l, err := (&Request{Roots: map[string][]string{"base": {"aa"}, "more": {"dd", "bb"}}}).Lock(x)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLock(t *testing.T) {
	l := testLock(t)
	file := l.Encode()
	got, err := DecodeLock(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(l, got); diff != "" {
		t.Error(diff)
	}
	if !IsLock(file) || got.Date("trixie") != testTime || !got.Date("sid").IsZero() {
		t.Error("head or dates are wrong")
	}
	for roots, want := range map[string]string{"aa": "aa bb cc", "dd cc": "bb cc dd", "bb": "bb", "": ""} {
		pins, err := got.Closure(strings.Fields(roots))
		var names []string
		for _, p := range pins {
			names = append(names, p.Name)
		}
		if err != nil || strings.Join(names, " ") != want {
			t.Errorf("%s: got %v, %v; want %s", roots, names, err, want)
		}
	}
	_, err = got.Closure([]string{"nope"})
	wantCode(t, err, protocol.NotFound)
	newer := testLock(t)
	newer.Packages[0].Version = "1:2-2"
	newer.Packages = append(newer.Packages[:1], newer.Packages[2:]...)
	newer.Packages = append(newer.Packages, Pin{Name: "ee", Version: "1"})
	want := []Change{{"aa", "1:2-1", "1:2-2"}, {"bb", "1", ""}, {"ee", "", "1"}}
	if diff := cmp.Diff(want, Changes(l, newer)); diff != "" {
		t.Error(diff)
	}
}

// resum writes the checksum of a lock file that was edited, as somebody would who wants to hide it.
func resum(file string) string {
	lines := strings.SplitN(file, "\n", 3)
	return lines[0] + "\n" + fmt.Sprintf("%s%x\n", lockSum, sha256.Sum256([]byte(lines[2]))) + lines[2]
}

// TestHostileLock has lock files that must be refused: edited ones, with the checksum of before and with one that fits.
func TestHostileLock(t *testing.T) {
	good := string(testLock(t).Encode())
	for name, c := range map[string]struct{ old, new string }{
		"another version":         {"bb 1 ", "bb 2 "},
		"a space":                 {"suites = [", "suites  = ["},
		"a comment":               {"# name version", "# name  version"},
		"another architecture":    {`arch = "amd64"`, `arch = "arm64"`},
		"an architecture in code": {`arch = "amd64"`, `arch = ($"x")`},
		"code behind":             {"\n'#\n", "\n'#\nexport def x [] { }\n"},
		"code in the table":       {"\nbb 1 ", "\n'#; def x [] { }; r#'\nbb 1 "},
		"a path upwards":          {"main/c/cc/cc_odd.deb", "../main/c/cc_odd.deb"},
		"a missing package":       {"\nbb 1 ", "\nbx 1 "},
		"not in order":            {"\naa 1:2-1 ", "\nzz 1:2-1 "},
		"a line less":             {"'#\n", ""},
		"a name that is none":     {"\naa 1:2-1 ", "\na$ 1:2-1 "},
		"roots with code":         {`["aa"]`, `["aa" (x)]`},
		"another form of a list":  {`["dd" "bb"]`, `["dd"  "bb"]`},
		"a date that is none":     {"2026-11-20T12", "2026-13-20T12"},
		"a negative size":         {" 1000 5 ", " -1000 5 "},
	} {
		edited := strings.Replace(good, c.old, c.new, 1)
		if edited == good {
			t.Errorf("%s: nothing was changed", name)
		}
		for _, file := range []string{edited, resum(edited)} {
			if name == "another version" && file != edited {
				continue // what is written in the form of a lock file is one
			}
			l, err := DecodeLock([]byte(file))
			if err == nil {
				t.Errorf("%s: accepted as %v", name, l)
				continue
			}
			wantCode(t, err, protocol.Damaged)
		}
	}
	for _, file := range []string{"", "# nuka lock 1", good[1:], "export const x = 1\n"} {
		_, err := DecodeLock([]byte(file))
		wantCode(t, err, protocol.Invalid)
	}
}

func TestRequest(t *testing.T) {
	r, err := ParseRequest([]byte("{suites: [trixie trixie-security], archs: [amd64], prefer: [bb], sonames: true, roots: {base: [aa, bb] # why\n more: [aa]}}"))
	if err != nil {
		t.Fatal(err)
	}
	want := &Request{[]string{"trixie", "trixie-security"}, []string{"main"}, []string{"amd64"}, map[string][]string{"base": {"aa", "bb"}, "more": {"aa"}}, []string{"bb"}, true}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"aa", "bb"}, r.All()); diff != "" {
		t.Error(diff)
	}
	for _, text := range []string{
		"", "[]", "{}", "{suites: [trixie], archs: [amd64]}", "{suites: trixie, archs: [amd64], roots: {base: [aa]}}", "{suites: ['../x'], archs: [amd64], roots: {base: [aa]}}",
		"{suites: [trixie], archs: [amd64], roots: {base: ['a a']}}", "{suites: [trixie], archs: [amd64], roots: {'b\"': [aa]}}", "{suites: [trixie], archs: [amd64], roots: {base: [aa]}, other: 1}",
		"{suites: [trixie], archs: [1], roots: {base: [aa]}}", "{suites: [trixie], archs: [amd64], roots: {base: [aa]}, sonames: 1}",
	} {
		_, err := ParseRequest([]byte(text))
		wantCode(t, err, protocol.Invalid)
	}
}
