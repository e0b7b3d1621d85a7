package apt

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/apt/apttest"
)

// index reads packages files of amd64, one for each suite.
func index(t testing.TB, texts ...string) *Index {
	t.Helper()
	x := NewIndex("amd64")
	for _, text := range texts {
		if err := x.Read("trixie", strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

func TestReadPackages(t *testing.T) {
	text := apttest.Stanza("a", "1:2.0-1", "Depends: b,", " c (>= 1)", "Description: long", " text: with a colon", "Essential: yes") + "\n\n" + apttest.Stanza("aa", "1") +
		strings.TrimSuffix(apttest.Stanza("bb", "2"), "\n")
	var got []string
	for p, err := range ReadPackages(strings.NewReader(strings.ReplaceAll(text, "Package: a\n", "Package: a+\n"))) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p.Name+" "+p.Version+" "+p.depends)
	}
	if diff := cmp.Diff([]string{"a+ 1:2.0-1 b, c (>= 1)", "aa 1 ", "bb 2 "}, got); diff != "" {
		t.Error(diff)
	}
	var again bytes.Buffer
	for p, err := range ReadPackages(strings.NewReader(apttest.Stanza("aa", "1", "Provides: x", "Conflicts: y", "Breaks: z", "Pre-Depends: p", "Priority: required"))) {
		if err != nil {
			t.Fatal(err)
		}
		p.write(&again)
		for q, err := range ReadPackages(&again) {
			if diff := cmp.Diff(p, q, cmp.AllowUnexported(Package{})); err != nil || diff != "" {
				t.Error(err, diff)
			}
		}
	}
}

// endless gives a text again and again.
type endless struct {
	text string
	n    int
}

func (e *endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = e.text[e.n%len(e.text)]
		e.n++
	}
	return len(b), nil
}

// TestHostilePackages has packages files that must be refused: the texts go into lock files, addresses and package files.
func TestHostilePackages(t *testing.T) {
	one := apttest.Stanza("aa", "1")
	replace := func(before, after string) io.Reader { return strings.NewReader(strings.ReplaceAll(one, before, after)) }
	for name, r := range map[string]io.Reader{
		"no Filename":                   replace("Filename: pool/main/a/aa/aa_1_amd64.deb\n", ""),
		"no SHA256":                     replace("SHA256: ", "SHA1: "),
		"no Version":                    replace("Version: 1\n", ""),
		"no name":                       replace("Package: aa\n", ""),
		"a path upwards":                replace("pool/main/a/aa/", "pool/../../x/"),
		"a path that leads up and back": replace("pool/main/a/aa/", "pool/x/../main/a/aa/"),
		"an absolute path":              replace("pool/main", "/pool/main"),
		"a path outside the pool":       replace("pool/main", "dists/main"),
		"an address":                    replace("pool/main/a", "pool/main/a?x=http://y"),
		"a path with a space":           replace("pool/main/a", "pool/main/a b"),
		"a path with a quote":           replace("pool/main/a", "pool/main/a'#"),
		"a name with a slash":           replace("Package: aa", "Package: a/a"),
		"a name with a quote":           replace("Package: aa", "Package: a\"a"),
		"a name in capitals":            replace("Package: aa", "Package: AA"),
		"a long name":                   replace("Package: aa", "Package: "+strings.Repeat("a", maxName+1)),
		"a name that is an option":      replace("Package: aa", "Package: --aa"),
		"a version with a slash":        replace("Version: 1", "Version: 1/../2"),
		"a version with a space":        replace("Version: 1", "Version: 1 2"),
		"a version with a dollar":       replace("Version: 1", "Version: 1$(x)"),
		"a negative size":               replace("Size: 1000", "Size: -1"),
		"a field twice":                 replace("Size: 1000", "Size: 1000\nSize: 2000"),
		"a name twice":                  replace("Version: 1", "Version: 1\nPackage: bb"),
		"another architecture":          replace("Architecture: amd64", "Architecture: arm64"),
		"one version, two hashes":       strings.NewReader(one + strings.ReplaceAll(one, "SHA256: ", "SHA256: 00")[:len(one)-2] + "\n\n"),
		"a continued nothing":           strings.NewReader(" x\n" + one),
		"a line without field":          strings.NewReader("what\n" + one),
		"an endless line":               &endless{text: "Package: a"},
		"endless lines of one package":  &endless{text: "Tag: a\n"},
		"endless continuations":         &endless{text: "Tag: a\n b\n"},
		"binary":                        strings.NewReader("\x00\x01\x02\n"),
	} {
		x := NewIndex("amd64")
		err := x.Read("trixie", r)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		wantCode(t, err, protocol.Invalid)
	}
	twice := strings.ReplaceAll(one, "SHA256: ", "SHA256: ")
	if err := NewIndex("amd64").Read("trixie", strings.NewReader(one+twice)); err != nil {
		t.Errorf("the same stanza twice: %v", err)
	}
	err := NewIndex("amd64").Read("trixie", limited(&endless{text: "\n"}, 1<<20))
	wantCode(t, err, protocol.Exhausted)
}
