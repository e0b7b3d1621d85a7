package nu

import (
	"errors"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/packages"
)

func TestParams(t *testing.T) {
	const text = `# A file.

# Something "with [brackets".
const x = "export def main [--not]" # export def main [--nor]
const y = [1 2 {a: 'it}'}]
const z = r#'export def main [--raw "'#

# Makes a thing.
# In two lines.
export def main [
  --small (-s)                  # optimize for size
  --level: int = 1              # 1 to 9, "best" [is] 9
  --name: string = "a # b, c]"
  --kinds: list<string> = [a, b]  # which
  --record: record<a: int, b: string>, --after # behind a comma
  file?: string # what of
  ...rest
] {
  derivation {name: a}
}
`
	doc, got, err := Params(fstest.MapFS{"a.nu": {Data: []byte(text)}}, "a.nu")
	want := []Param{
		{"--small (-s)", "optimize for size"}, {"--level: int = 1", `1 to 9, "best" [is] 9`}, {`--name: string = "a # b, c]"`, ""},
		{"--kinds: list<string> = [a, b]", "which"}, {"--record: record<a: int, b: string>", ""}, {"--after", "behind a comma"},
		{"file?: string", "what of"}, {"...rest", ""},
	}
	if err != nil || doc != "Makes a thing.\nIn two lines." {
		t.Errorf("got %q, %v", doc, err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	_, got, err = Params(fstest.MapFS{"a.nu": {Data: []byte("export def main [--a --b: int = 2 c] {}")}}, "a.nu")
	if d := cmp.Diff([]Param{{"--a", ""}, {"--b: int = 2", ""}, {"c", ""}}, got); d != "" || err != nil {
		t.Errorf("on one line, %v (-want +got)\n%s", err, d)
	}
	for _, text := range []string{"", "def main [--x] {}", "export def other [--x] {}", "export def main [", "\"", "r#'", "export def main [--x \"", "# x"} {
		if _, got, err := Params(fstest.MapFS{"a.nu": {Data: []byte(text)}}, "a.nu"); err != nil || len(got) > 1 {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
}

// TestParamsAsNushell checks, for every package of the set, that the flags read from the text are those that Nushell finds.
func TestParamsAsNushell(t *testing.T) {
	e := testEngine(t, nil)
	flag := regexp.MustCompile(`--[a-z-]+`)
	err := fs.WalkDir(packages.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".nu") {
			return err
		}
		_, params, err := Params(packages.FS, name)
		if err != nil {
			return err
		}
		var got []string
		for _, p := range params {
			if name := flag.FindString(p.Text); name != "" { // else it is an argument
				got = append(got, name)
			}
		}
		_, err = e.Eval(t.Context(), &Request{
			Sets: []Mount{{Path: "/packages", FS: packages.FS, Library: true}}, File: "/packages/" + name, Args: []string{"--zzz"},
		})
		var mistake *Error
		if !errors.As(err, &mistake) || !strings.Contains(mistake.Error(), "has no flag") {
			if len(params) > 0 {
				t.Errorf("%s: %v, with parameters %v", name, err, params)
			}
			return nil
		}
		_, usage, _ := strings.Cut(mistake.Diags[0].Hint, "usage: ")
		want := flag.FindAllString(usage, -1)
		want = slices.DeleteFunc(want, func(s string) bool { return s == "--help" })
		if !slices.Equal(want, got) {
			t.Errorf("%s: got %q, Nushell has %q", name, got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func FuzzParams(f *testing.F) {
	f.Add("export def main [--a: string = \"x\" # y\n] {}")
	f.Add("r##'x'# [ 'a' $\"(b)\" `c`")
	f.Fuzz(func(t *testing.T, text string) {
		if _, params, err := Params(fstest.MapFS{"a.nu": {Data: []byte(text)}}, "a.nu"); err == nil {
			for _, p := range params {
				if p.Text == "" {
					t.Errorf("%q: a parameter without a text", text)
				}
			}
		}
	})
}
