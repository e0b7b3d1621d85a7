package git

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// gitIn runs git in a folder, without the user's configuration.
func gitIn(t *testing.T, dir, stdin string, args ...string) (string, error) {
	t.Helper()
	c := exec.Command("git", append([]string{"-C", dir}, args...)...)
	c.Env, c.Stdin = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+dir), strings.NewReader(stdin)
	out, err := c.Output()
	return string(out), err
}

// configs are configurations with their parsed variables, or "" for invalid ones.
var configs = []struct{ text, want string }{
	{"[submodule \"a\"]\n\tpath = lib/a\n\turl = ../a\n", "a lib/a ../a"},
	{"\uFEFF[SubModule \"A b\"] PATH=p ; note\n url = \"u # v\" # note\n", "A b p u # v"},
	{"[submodule \"a\"]\r\n\tpath = p\r\n\turl = u\r\n", "a p u"},
	{"[submodule.Name]\npath = p\nurl = u", "name p u"},
	{"[submodule \"a.b\"]\npath = p\nurl = u", "a.b p u"},
	{"[submodule \"q\\\"\\\\x\\y\"]\npath = p\nurl = u", `q"\xy p u`},
	{"[submodule \"a\"]\npath = \"p q\"\nurl = a\\tb\\\"c\\\\d\\\n e  ", "a p q a\tb\"c\\d e"},
	{"# x\n; y\n[core]\nbare\n[submodule \"a\"]\npath=p\nurl=u\nupdate = !touch pwned\nignore\n", "a p u"},
	{"[submodule \"a\"]\npath=p\nurl=\"u \" \n", "a p u "},
	{"[submodule \"a\"]\npath=p q  r\nurl=\n", "a p q  r "},
	{"[submodule \"a\"]\npath=p\n[submodule \"a\"]\nurl=u\n[submodule \"b\"]\npath=q\nurl=v", "a p u, b q v"},
	{"[submodule \"a\"]\npath=p\nurl = u\\\n", "a p u"},
	{"[submodule \"a]\n", ""},
	{"[submodule \"a\" ]\n", ""},
	{"[submodule a]\n", ""},
	{"[submodule\n\"a\"]\n", ""},
	{"[sub_module]\n", ""},
	{"[submodule \"a\"]\n1path = p\n", ""},
	{"[submodule \"a\"]\npath p\n", ""},
	{"[submodule \"a\"]\npath = \"p\n", ""},
	{"[submodule \"a\"]\npath = \\x\n", ""},
	{"=\n", ""},
	{"[submodule \"a\"", ""},
}

// shownModules formats modules as in configs.
func shownModules(modules []Module) string {
	var all []string
	for _, m := range modules {
		all = append(all, m.Name+" "+m.Path+" "+m.URL)
	}
	return strings.Join(all, ", ")
}

// TestParseModules compares ParseModules with git.
func TestParseModules(t *testing.T) {
	for _, c := range configs {
		modules, err := ParseModules([]byte(c.text))
		if got := shownModules(modules); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q: got %q, %v, want %q", c.text, got, err, c.want)
		}
		out, err := gitIn(t, t.TempDir(), c.text, "config", "-f", "-", "--list", "-z")
		if (err == nil) != (c.want != "") {
			t.Errorf("%q: git says %v", c.text, err)
			continue
		}
		var fromGit []Module
		for variable := range strings.SplitSeq(out, "\x00") {
			name, value, _ := strings.Cut(variable, "\n")
			name, ok := strings.CutPrefix(name, "submodule.")
			dot := strings.LastIndex(name, ".")
			if !ok || dot < 0 {
				continue
			}
			if n := len(fromGit); n == 0 || fromGit[n-1].Name != name[:dot] {
				fromGit = append(fromGit, Module{Name: name[:dot]})
			}
			switch m := &fromGit[len(fromGit)-1]; name[dot+1:] {
			case "path":
				m.Path = value
			case "url":
				m.URL = value
			}
		}
		if d := cmp.Diff(fromGit, modules); d != "" && err == nil {
			t.Errorf("%q: -git +got:\n%s", c.text, d)
		}
	}
}

// TestResolveURL compares ResolveURL with git.
func TestResolveURL(t *testing.T) {
	for _, c := range []struct{ repository, url, want string }{
		{"https://host/o/r.git", "../s.git", "https://host/o/s.git"},
		{"https://host/o/r.git/", "../s.git", "https://host/o/s.git"},
		{"https://host/o/r", "./s", "https://host/o/r/s"},
		{"https://host/o/r", "../../p/s/", "https://host/p/s"},
		{"https://host/o/r", ".././../s", "https://host/s"},
		{"https://host:8080/r", "../s", "https://host:8080/s"},
		{"https://host/o/r", "https://other/x/../y", "https://other/x/../y"},
		{"https://host/o/r", "../s/../t", "https://host/o/s/../t"},
		{"https://host/a%20b/r", "../s", "https://host/a%20b/s"},
	} {
		got, err := ResolveURL(c.repository, c.url)
		if err != nil || got != c.want {
			t.Errorf("%s from %s: got %s, %v, want %s", c.url, c.repository, got, err, c.want)
		}
		dir := t.TempDir()
		for _, args := range [][]string{
			{"init", "-q"}, {"remote", "add", "origin", c.repository}, {"config", "-f", ".gitmodules", "submodule.s.path", "s"},
			{"config", "-f", ".gitmodules", "submodule.s.url", c.url},
			{"update-index", "--add", "--cacheinfo", "160000," + strings.Repeat("1", 40) + ",s"}, {"submodule", "--quiet", "init"},
		} {
			if _, err := gitIn(t, dir, "", args...); err != nil {
				t.Fatalf("git %v: %v", args, err)
			}
		}
		if out, err := gitIn(t, dir, "", "config", "submodule.s.url"); err != nil || strings.TrimSpace(out) != c.want {
			t.Errorf("%s from %s: git says %s, %v, want %s", c.url, c.repository, out, err, c.want)
		}
	}
	// Git goes further up and takes the next part as the host.
	for _, c := range []struct{ repository, url string }{
		{"https://host/r", "../../s"}, {"https://host", "../s"}, {"https://host/o/r/", "../../../other.invalid/s"},
		{"https://host/r", "../../../../:other.invalid/s"}, {"https://host/r", "./../././../s"},
	} {
		if got, err := ResolveURL(c.repository, c.url); err == nil {
			t.Errorf("%s from %s: got %s, want an error", c.url, c.repository, got)
		}
	}
}

func FuzzParseModules(f *testing.F) {
	for _, c := range configs {
		f.Add([]byte(c.text), "a", "lib/a", "../a")
	}
	f.Fuzz(func(t *testing.T, text []byte, name, path, url string) {
		if modules, err := ParseModules(text); err == nil {
			for _, m := range modules {
				if leaves(m.Name) {
					t.Errorf("%q: a submodule called %q", text, m.Name)
				}
				if at, err := ResolveURL("https://host/o/r", m.URL); err == nil && strings.HasPrefix(m.URL, "../") &&
					!strings.HasPrefix(at, "https://host/") && at != "https://host" {
					t.Errorf("%q leads to %q", m.URL, at)
				}
			}
		}
		// A file with escapes as git writes them parses to the same module.
		if leaves(name) || strings.ContainsAny(name, "\n\x00") || strings.ContainsAny(path+url, "\n\x00\r") || strings.Contains(name, "\r") {
			return
		}
		escape := strings.NewReplacer("\\", "\\\\", "\"", "\\\"").Replace
		written := fmt.Sprintf("[submodule \"%s\"]\n\tpath = \"%s\"\n\turl = \"%s\"\n", escape(name), escape(path), escape(url))
		modules, err := ParseModules([]byte(written))
		if err != nil || len(modules) != 1 || modules[0] != (Module{name, path, url}) {
			t.Errorf("%q: got %+v, %v", written, modules, err)
		}
	})
}
