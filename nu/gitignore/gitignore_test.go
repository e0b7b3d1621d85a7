package gitignore

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// cases are patterns with the names that git ignores by them. A folder ends in a slash. All other names of the variable names are not ignored.
var cases = []struct{ patterns, want string }{
	{"a", "a d/a d/e/a"},
	{"/a", "a"},
	{"d/a", "d/a"},
	{"d/", "d/ d/a d/b d/e/ d/e/a d/e/b.o"},
	{"a/", ""}, // a is a file
	{"/d/e/", "d/e/ d/e/a d/e/b.o"},
	{"*.o", "d/e/b.o x.o"},
	{"/*.o", "x.o"},
	{"d/*", "d/a d/b d/e/ d/e/a d/e/b.o"},
	{"d/**", "d/a d/b d/e/ d/e/a d/e/b.o"},
	{"**/a", "a d/a d/e/a"},
	{"d/**/a", "d/a d/e/a"},
	{"**/e/**", "d/e/a d/e/b.o"},
	{"**", "*"},
	{"/**/", "d/ d/a d/b d/e/ d/e/a d/e/b.o"},
	{"?", "a b d/ d/a d/b d/e/ d/e/a d/e/b.o * - ] l"},
	{"?.o", "d/e/b.o x.o"},
	{"d?a", ""},
	{"[ab]", "a b d/a d/b d/e/a"},
	{"[!ab]", "d/ d/a d/b d/e/ d/e/a d/e/b.o * - ] l"},
	{"[^ab]", "d/ d/a d/b d/e/ d/e/a d/e/b.o * - ] l"},
	{"[a-c].o", "d/e/b.o"},
	{"[[:alpha:]].o", "d/e/b.o x.o"},
	{"[[:nope:]]", ""},
	{"[a", ""},
	{"*.o\n!x.o", "d/e/b.o"},
	{"!x.o\n*.o", "d/e/b.o x.o"},
	{"d\n!d/a", "d/ d/a d/b d/e/ d/e/a d/e/b.o"}, // a name in an ignored folder is not kept
	{"d/*\n!d/a", "d/b d/e/ d/e/a d/e/b.o"},
	{"# a\n#\n\n\\#x", "#x"},
	{"\\!y", "!y"},
	{"!y", ""},
	{"a\r\nb\r\n", "a b d/a d/b d/e/a"},
	{"\uFEFFa", "a d/a d/e/a"},
	{"a  ", "a d/a d/e/a"},
	{"a\t", ""},
	{" a", ""},
	{"sp\\ ", "sp "},
	{"sp\\  ", "sp "},
	{"sp ", ""},
	{"\\a", "a d/a d/e/a"},
	{"a\\", ""},
	{"x\\.o", "x.o"},
	{"\\*", "*"},
	{"[*]", "*"},
	{"/", ""},
	{"//", ""},
	{"!", ""},
	{"d//a", ""},
	{"d/e/**/b.o", "d/e/b.o"},
	{"**/**/b.o", "d/e/b.o"},
	{"***/b.o", "d/e/b.o"},
	{"d/*/a", "d/e/a"},
	{"*/e", "d/e/ d/e/a d/e/b.o"},
	{"*/a", "d/a"},
	{"A", ""},
	{"\xc3\xbc*", "ünï"},
	{"?n*", ""}, // the name's first character has two bytes
	{"[-a]", "- a d/a d/e/a"},
	{"[]a]", "] a d/a d/e/a"},
	{"l", "l"},
	{"l/", ""}, // a link to a folder is not a folder
}

// names are the names that each case is matched with.
var names = []string{"a", "b", "d/", "d/a", "d/b", "d/e/", "d/e/a", "d/e/b.o", "x.o", "#x", "!y", "sp ", "*", "ünï", "-", "]", "l"}

// ignored reports whether a name, or a folder above it, is ignored.
func ignored(p Patterns, name string) bool {
	for i := range name {
		if name[i] == '/' && i < len(name)-1 && p.Match(name[:i], true) == Ignored {
			return true
		}
	}
	plain, isDir := strings.CutSuffix(name, "/")
	return p.Match(plain, isDir) == Ignored
}

// TestMatch compares Match with cases, and cases with git.
func TestMatch(t *testing.T) {
	texts := make([]string, len(cases))
	for i, c := range cases {
		texts[i] = c.patterns
	}
	fromGit := askGit(t, texts)
	for i, c := range cases {
		want := strings.Split(c.want, " ")
		switch c.patterns { // names with spaces, and all names
		case "sp\\ ", "sp\\  ":
			want = []string{"sp "}
		case "**":
			want = names
		}
		p := Parse([]byte(c.patterns))
		for _, name := range names {
			got, want := ignored(p, name), slices.Contains(want, name)
			if got != want || fromGit != nil && fromGit[i][name] != want {
				t.Errorf("%q of %q: got %v, want %v, git says %v", name, c.patterns, got, want, fromGit != nil && fromGit[i][name])
			}
		}
	}
}

// askGit returns the names that git ignores for each text of patterns, or nil if git is not installed.
func askGit(t *testing.T, texts []string) []map[string]bool {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Log("no git to compare with")
		return nil
	}
	dir := t.TempDir()
	git := func(stdin string, args ...string) string {
		c := exec.Command("git", append([]string{"-C", dir, "-c", "core.ignoreCase=false", "-c", "core.excludesFile="}, args...)...)
		c.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+dir, "XDG_CONFIG_HOME="+dir)
		c.Stdin = strings.NewReader(stdin)
		out, err := c.Output()
		if err != nil && c.ProcessState.ExitCode() != 1 { // no name is ignored
			t.Fatalf("git %v: %v", args, err)
		}
		return string(out)
	}
	git("", "init", "-q")
	var ask strings.Builder
	for i, text := range texts {
		at := filepath.Join(dir, fmt.Sprint(i))
		for _, name := range names {
			fmt.Fprintf(&ask, "%d/%s\x00", i, strings.TrimSuffix(name, "/"))
		}
		if err := os.MkdirAll(filepath.Join(at, "d/e"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("d", filepath.Join(at, "l")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(at, ".gitignore"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := make([]map[string]bool, len(texts))
	for i := range out {
		out[i] = map[string]bool{}
	}
	for name := range strings.SplitSeq(git(ask.String(), "check-ignore", "--no-index", "--stdin", "-z"), "\x00") {
		var i int
		if n, _ := fmt.Sscanf(name, "%d/", &i); n == 1 {
			_, rest, _ := strings.Cut(name, "/")
			if slices.Contains(names, rest+"/") {
				rest += "/"
			}
			out[i][rest] = true
		}
	}
	return out
}

// unclear matches patterns that git versions read differently: two stars after another character, in a pattern with a slash.
var unclear = regexp.MustCompile(`[^/*]\*\*.*/.|/.*[^/*]\*\*`)

// TestAgainstGit compares with git for random patterns.
func TestAgainstGit(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // tests
	pieces := strings.Fields(`a b d e .o x l / / * * ** **/ /** ? ! # \ [ab] [!a] [^b] [a-x] [ ] - [[:alpha:]] [[:punct:]] [] ü`)
	pieces = append(pieces, " ", "\n", "\r\n")
	var texts []string
	for len(texts) < 400 {
		var text strings.Builder
		for range 1 + chance.IntN(7) {
			text.WriteString(pieces[chance.IntN(len(pieces))])
		}
		if !slices.ContainsFunc(strings.Split(text.String(), "\n"), unclear.MatchString) {
			texts = append(texts, text.String())
		}
	}
	fromGit := askGit(t, texts)
	if fromGit == nil {
		t.Skip("there is nothing to compare with")
	}
	for i, text := range texts {
		p := Parse([]byte(text))
		for _, name := range names {
			if got, want := ignored(p, name), fromGit[i][name]; got != want {
				t.Errorf("%q of %q: got %v, git says %v", name, text, got, want)
			}
		}
	}
}

// TestLongPatterns uses patterns that need exponential time in a backtracking matcher.
func TestLongPatterns(t *testing.T) {
	begin := time.Now()
	name := strings.Repeat("a", 200)
	for _, text := range []string{
		strings.Repeat("*a", 100) + "b", strings.Repeat("**/", 10000) + "b", strings.Repeat("*?", 100) + "b",
		strings.Repeat("[a-z]*", 100) + "b", strings.Repeat("a", Max), "/" + strings.Repeat("**/*a", 100) + "b",
	} {
		p := Parse([]byte(text))
		for range 100 {
			if got := p.Match(name+"/"+name, false); got != Undecided {
				t.Fatalf("%.20q…: got %v", text, got)
			}
		}
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range cases {
		f.Add([]byte(c.patterns), "d/a")
	}
	f.Add([]byte("**/[[:alpha:]-\\]]*\\ \n!a/"), "x y")
	f.Fuzz(func(t *testing.T, text []byte, name string) {
		if len(text) > 1<<12 || len(name) > 1<<10 {
			return
		}
		Parse(text).Match(name, false)
		Parse(text).Match(name, true)
		// A pattern whose characters are all escaped matches exactly one name.
		if name == "" || strings.ContainsAny(name, "\n\x00") || strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") || strings.HasSuffix(name, "\r") {
			return
		}
		var escaped strings.Builder
		for i := range len(name) {
			escaped.WriteString(`\` + name[i:i+1])
		}
		p := Parse([]byte("/" + escaped.String()))
		if got := p.Match(name, false); got != Ignored {
			t.Errorf("%q of itself: got %v", name, got)
		}
		if got := p.Match(name+"x", false); got != Undecided {
			t.Errorf("%q and more: got %v", name, got)
		}
	})
}
