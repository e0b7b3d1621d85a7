package source

import (
	"encoding/hex"
	"fmt"
	"github.com/MordragT/nuka/source/kind"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/archive"
	"github.com/MordragT/nuka/source/git"
)

// fetchAll fetches a revision with its submodules and returns the folder of its tree.
func (r *gitRepo) fetchAll(o Options, rev string) (string, error) {
	dir := r.t.TempDir()
	_, err := fetcher(o).Fetch(r.t.Context(), &Request{Origins: []Origin{{Kind: Git, URL: r.address, Flags: kind.Fields{"rev": rev, "submodules": "true"}}}, Dir: dir})
	if err == nil {
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			r.t.Errorf("beside the output stay %v", left)
		}
	}
	return filepath.Join(dir, Out), err
}

// link makes a commit with a submodule at a path and the given text of .gitmodules.
func (r *gitRepo) link(path, commit, gitmodules string) string {
	r.t.Helper()
	r.write(".gitmodules", gitmodules)
	r.git("add", "-A")
	r.git("update-index", "--add", "--cacheinfo", "160000,"+commit+","+path)
	r.git("commit", "-q", "--allow-empty", "-m", "m")
	return strings.TrimSpace(r.git("rev-parse", "HEAD"))
}

// TestGitSubmodules compares a tree with nested submodules with git's own clone.
func TestGitSubmodules(t *testing.T) {
	r := newGitRepo(t)
	deep, lib := r.beside("deep.git"), r.beside("lib")
	deep.write("deep", "deep")
	deep.commit()
	lib.git("remote", "add", "origin", lib.address)
	lib.write("lib.c", "old")
	lib.git("submodule", "--quiet", "add", "../deep.git", "vendor/deep")
	lib.commit()
	r.git("remote", "add", "origin", r.address+"/")
	r.write("main.c", "main")
	r.git("submodule", "--quiet", "add", "--name", "a name", "../lib", "libs/the lib")
	r.git("submodule", "--quiet", "add", "./../deep.git", "deep")
	r.git("submodule", "--quiet", "add", deep.address, "libs/absolute")
	r.commit()
	lib.write("lib.c", "new") // not the commit that the tree names
	lib.commit()

	clone := filepath.Join(t.TempDir(), "clone")
	c := exec.Command("git", "clone", "-q", "--recurse-submodules", r.address, clone)
	c.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+t.TempDir())
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v: %s", err, out)
	}
	want := describe(t, clone)
	for name := range want {
		if filepath.Base(name) == ".git" { // where git keeps the data of a submodule
			delete(want, name)
		}
	}
	for _, old := range []bool{false, true} {
		r.oldProtocol.Store(old)
		out, err := r.fetchAll(Options{}, "main")
		if err != nil {
			t.Errorf("old protocol %v: %v", old, err)
			continue
		}
		got := describe(t, out)
		if diff := cmp.Diff(want, got); diff != "" || got["libs/the lib/vendor/deep/deep"] == "" {
			t.Errorf("old protocol %v: the tree differs from git's (-git +nuka):\n%s", old, diff)
		}
	}
	_, _, err := r.fetch(Options{}, "main")
	if protocol.CodeOf(err) != protocol.Invalid || !strings.Contains(err.Error(), "submodule") {
		t.Errorf("without the option: got %v", err)
	}
	// For a repository without submodules the option changes nothing.
	_, plain, err := deep.fetch(Options{}, "main")
	dir := t.TempDir()
	got, err2 := fetcher(Options{}).Fetch(t.Context(), &Request{
		Origins: []Origin{{Kind: Git, URL: deep.address, Flags: kind.Fields{"rev": "main", "submodules": "true"}}}, Hash: plain, Dir: dir,
	})
	if err != nil || err2 != nil || got != plain {
		t.Errorf("got %v, %v, %v, want %v", got, err, err2, plain)
	}
}

// TestGitSubmodulesRefused has .gitmodules files with forbidden addresses, or that do not match the tree.
func TestGitSubmodulesRefused(t *testing.T) {
	r := newGitRepo(t)
	sub := r.beside("sub")
	sub.write("a", "a")
	commit := sub.commit()
	secret := filepath.Join(filepath.Dir(r.dir), "sub")
	module := func(name, path, url string) string {
		return fmt.Sprintf("[submodule %q]\n\tpath = %s\n\turl = %s\n", name, path, url)
	}
	for name, c := range map[string]struct{ text, want string }{
		"no section":        {"", "has no address for it"},
		"another path":      {module("s", "other", "../sub"), "has no address for it"},
		"no url":            {"[submodule \"s\"]\n\tpath = s\n", "has no address for it"},
		"file":              {module("s", "s", "file://"+secret), "fetch path"},
		"a folder":          {module("s", "s", secret), "fetch path"},
		"an option":         {module("s", "s", "-u./payload"), "fetch path"},
		"ssh":               {module("s", "s", "ssh://git@host/x"), "https"},
		"scp":               {module("s", "s", "git@host:x"), "https"},
		"git":               {module("s", "s", "git://host/x"), "https"},
		"a command":         {module("s", "s", "\"ext::sh -c touch% pwned\""), "https"},
		"a password":        {module("s", "s", "https://user:secret@host/x"), "netrc"},
		"a line end":        {module("s", "s", "\"https://host/x\\nhost=other\""), "git is spoken"},
		"out of the server": {module("s", "s", "../../../../other.invalid/x"), "leads out of"},
		"a name":            {module("../../hooks", "s", "../sub"), "is called"},
		"a name, Windows":   {module("a\\..\\..\\hooks", "s", "../sub"), "is called"},
		"two of a path":     {module("s", "s", "../sub") + module("t", "s", "../other"), "two submodules"},
		"two urls":          {module("s", "s", "../sub") + "\turl = ../other\n", "two values"},
		"no syntax":         {"[submodule\n", "syntax"},
		"not there":         {module("s", "s", "../nothing"), "404"},
		"too large":         {module("s", "s", "../sub") + strings.Repeat("#\n", 1<<20), "larger"},
	} {
		r.link("s", commit, c.text)
		out, err := r.fetchAll(Options{Retries: -1}, "main")
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
		if _, err := os.Lstat(out); err == nil {
			t.Errorf("%s: an output stays", name)
		}
	}
	r.link("s", strings.Repeat("1", 40), module("s", "s", "../sub"))
	if _, err := r.fetchAll(Options{}, "main"); protocol.CodeOf(err) != protocol.NotFound || !strings.Contains(err.Error(), `submodule "s"`) {
		t.Errorf("a commit that is not there: got %v", err)
	}
	// A link in place of .gitmodules, which git does not accept.
	r.write("rules", module("s", "s", "../sub"))
	r.write("link", "rules")
	var tree strings.Builder
	for _, entry := range [][2]string{
		{"120000 .gitmodules", r.git("hash-object", "-w", "link")}, {"100644 rules", r.git("hash-object", "-w", "rules")}, {"160000 s", commit},
	} {
		id, err := hex.DecodeString(strings.TrimSpace(entry[1]))
		if err != nil {
			t.Fatal(err)
		}
		tree.WriteString(entry[0] + "\x00" + string(id))
	}
	r.write("tree", tree.String())
	id := strings.TrimSpace(r.git("hash-object", "--literally", "-w", "-t", "tree", "tree"))
	linked := strings.TrimSpace(r.git("commit-tree", "-m", "m", id))
	if _, err := r.fetchAll(Options{}, linked); err == nil || !strings.Contains(err.Error(), "plain file") {
		t.Errorf("a link: got %v", err)
	}
}

// TestSubmoduleOrigin checks that the rules of redirects apply to addresses in repositories.
func TestSubmoduleOrigin(t *testing.T) {
	sub := archive.Submodule{Path: "s", Commit: strings.Repeat("1", 40)}
	for _, c := range []struct{ from, to, want, err string }{
		{"https://host.invalid/o/r", "https://other.invalid/x", "https://other.invalid/x", ""},
		{"https://host.invalid/o/r", "../x", "https://host.invalid/o/x", ""},
		{"http://host.invalid/o/r", "http://other.invalid/x", "http://other.invalid/x", ""},
		{"http://127.0.0.1/r", "http://localhost/x", "http://localhost/x", ""},
		{"https://host.invalid/o/r", "http://host.invalid/o/x", "", "https to http"},
		{"http://host.invalid/o/r", "http://127.0.0.1:5001/x", "", "inside"},
		{"http://host.invalid/o/r", "http://169.254.169.254/latest", "", "inside"},
		{"http://host.invalid/o/r", "http://[::ffff:10.0.0.1]/x", "", "inside"},
	} {
		o := Origin{Kind: Git, URL: c.from, Flags: kind.Fields{"rev": "v1", "submodules": "true"}}
		next, err := submoduleOrigin(o, []git.Module{{Name: "s", Path: "s", URL: c.to}}, sub)
		if next.URL != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s from %s: got %s, %v, want %s%s", c.to, c.from, next.URL, err, c.want, c.err)
		}
		if err == nil && (next.Flags["rev"] != sub.Commit || next.Flags["submodules"] != "true") {
			t.Errorf("got %+v", next)
		}
	}
}

// TestGitSubmodulesLimits has repositories that keep each limit alone but exceed it together.
func TestGitSubmodulesLimits(t *testing.T) {
	r := newGitRepo(t)
	sub := r.beside("sub")
	noise := func(from int) string {
		var out []byte
		for i := from; len(out) < 700<<10; i++ {
			out = append(out, sha(fmt.Append(nil, i)).Digest()...)
		}
		return string(out)
	}
	for i := range 6 {
		sub.write(fmt.Sprint(i), "x")
		r.write(fmt.Sprint(i), "x")
	}
	small := sub.commit()
	sub.write("noise", noise(0))
	large := sub.commit()
	module := "[submodule \"s\"]\n\tpath = s\n\turl = ../sub\n"
	for name, c := range map[string]struct {
		commit string
		limits Limits
		want   protocol.Code
	}{
		"fits":     {large, Limits{Download: 2 << 20, Limits: archive.Limits{Files: 30, Unpacked: 3 << 20}}, ""},
		"entries":  {small, Limits{Limits: archive.Limits{Files: 12}}, protocol.Exhausted},
		"bytes":    {large, Limits{Limits: archive.Limits{Files: 30, Unpacked: 1 << 20}}, protocol.Exhausted},
		"download": {large, Limits{Download: 1 << 20}, protocol.Exhausted},
	} {
		r.write("noise", "")
		if c.commit == large {
			r.write("noise", noise(1<<20))
		}
		r.link("s", c.commit, module)
		if _, _, err := sub.fetch(Options{Limits: c.limits}, c.commit); err != nil {
			t.Errorf("%s: alone: %v", name, err)
		}
		_, err := r.fetchAll(Options{Limits: c.limits}, "main")
		if c.want == "" && err != nil || c.want != "" && protocol.CodeOf(err) != c.want {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	// Each commit has the previous one as a submodule.
	chain := r.beside("chain")
	chain.write("a", "a")
	last := chain.commit()
	module = strings.ReplaceAll(module, "../sub", "../chain")
	for i := range maxSubmoduleDepth + 1 {
		if i == maxSubmoduleDepth {
			if _, err := chain.fetchAll(Options{}, last); err != nil {
				t.Errorf("%d in one another: %v", i, err)
			}
		}
		last = chain.link("s", last, module)
	}
	// Of 18 commits the third has two submodules, and the fourth has three.
	few := fetcher(Options{})
	few.modules = 2
	for rev, want := range map[string]protocol.Code{"main~15": "", "main~14": protocol.Exhausted} {
		id := strings.TrimSpace(chain.git("rev-parse", rev))
		_, err := few.Fetch(t.Context(), &Request{Origins: []Origin{{Kind: Git, URL: chain.address, Flags: kind.Fields{"rev": id, "submodules": "true"}}}, Dir: t.TempDir()})
		if want == "" && err != nil || want != "" && protocol.CodeOf(err) != want {
			t.Errorf("%s, of two submodules: got %v, want %q", rev, err, want)
		}
	}
	if _, err := chain.fetchAll(Options{}, last); protocol.CodeOf(err) != protocol.Exhausted {
		t.Errorf("%d in one another: got %v, want exhausted", maxSubmoduleDepth+1, err)
	}
}

// TestSubmodulesOrigin checks that the NUON of origins without submodules has not changed.
func TestSubmodulesOrigin(t *testing.T) {
	for _, c := range []struct {
		o    Origin
		want string
	}{
		{Origin{Kind: Git, URL: "https://host/r", Flags: kind.Fields{"rev": "v1"}}, `{"kind":"git","rev":"v1","url":"https://host/r"}`},
		{Origin{Kind: Git, URL: "https://host/r", Flags: kind.Fields{"rev": "v1", "submodules": "true"}}, `{"kind":"git","rev":"v1","submodules":"true","url":"https://host/r"}`},
	} {
		b, err := c.o.Encode()
		if err != nil || string(b) != c.want {
			t.Errorf("got %s, %v, want %s", b, err, c.want)
		}
		if got, err := ParseOrigin(b); err != nil || !reflect.DeepEqual(got, c.o) {
			t.Errorf("%s: got %+v, %v", b, got, err)
		}
	}
	for _, o := range []Origin{
		{Kind: Git, URL: "https://host/r", Flags: kind.Fields{"rev": "v1", "submodules": "yes"}}, {Kind: URL, URL: "https://host/r", Flags: kind.Fields{"submodules": "true"}},
	} {
		if _, err := o.Encode(); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
