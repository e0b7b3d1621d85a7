package nu

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// writeFiles writes files below dir. A text that begins with -> makes a link.
func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		if target, link := strings.CutPrefix(text, "-> "); err == nil && link {
			err = os.Symlink(target, at)
		} else if err == nil {
			err = os.WriteFile(at, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// listed returns the names below a folder, sorted.
func listed(t *testing.T, folder fs.FS) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(folder, ".", func(name string, _ fs.DirEntry, err error) error {
		if name != "." {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// TestGitignore lists a folder without ignored names, and compares with git if it is installed.
func TestGitignore(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"none": {map[string]string{"a": "", "d/a": ""}, "a d d/a"},
		"folders of their own": {map[string]string{
			".gitignore": "*.o\n/top\nd/x\n", "d/.gitignore": "!keep.o\n/top\n", "d/e/.gitignore": "*\n!.gitignore\n", "top": "", "a.o": "",
			"d/a.o": "", "d/keep.o": "", "d/x": "", "d/top": "", "d/f/top": "", "d/f/x": "", "d/f/keep.o": "", "d/e/a": "", "keep.o": "",
		}, ".gitignore d d/.gitignore d/e d/e/.gitignore d/f d/f/keep.o d/f/top d/f/x d/keep.o"},
		"exclude": {map[string]string{
			".git/info/exclude": "*.log\n/d/y\n", ".gitignore": "!a.log\n", "a.log": "", "b.log": "", "d/a.log": "", "d/b.log": "", "d/y": "", "y": "",
		}, ".gitignore a.log d d/a.log y"},
		"in an ignored folder": {map[string]string{".gitignore": "d/\n!d/a\n", "d/.gitignore": "!a", "d/a": "", "d/b": ""}, ".gitignore"},
		"links":                {map[string]string{"d/.gitignore": "-> ../rules", "rules": "a\n", "d/a": "", "to": "-> d", ".gitignore": "to/\n"}, ".gitignore d d/.gitignore d/a rules to"},
		"all":                  {map[string]string{".gitignore": "*\n", "a": "", "d/a": ""}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			env := append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+dir, "XDG_CONFIG_HOME="+dir)
			git := func(stdin string, args ...string) string {
				c := exec.Command("git", append([]string{"-C", dir, "-c", "core.ignoreCase=false"}, args...)...)
				c.Env, c.Stdin = env, strings.NewReader(stdin)
				out, err := c.Output()
				if err != nil && c.ProcessState.ExitCode() != 1 { // no name is ignored
					t.Fatalf("git %v: %v", args, err)
				}
				return string(out)
			}
			_, missing := exec.LookPath("git")
			if missing == nil {
				git("", "init", "-q", "--template=")
			}
			writeFiles(t, dir, c.files)
			got := listed(t, Sources(os.DirFS(dir), PathOptions{Gitignore: true}))
			if d := cmp.Diff(strings.Fields(c.want), got, cmp.Transformer("", func(s []string) string { return strings.Join(s, " ") })); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			if missing != nil {
				t.Log("no git to compare with")
				return
			}
			whole := listed(t, Sources(os.DirFS(dir), PathOptions{}))
			without := strings.Split(git(strings.Join(whole, "\x00"), "check-ignore", "--no-index", "--stdin", "-z"), "\x00")
			fromGit := slices.DeleteFunc(whole, func(name string) bool { return slices.Contains(without, name) })
			if d := cmp.Diff(fromGit, got, cmp.Transformer("", func(s []string) string { return strings.Join(s, " ") })); d != "" {
				t.Errorf("-git +got:\n%s", d)
			}
			// With both options, the view adds only the names of git's repository data.
			both := listed(t, Sources(os.DirFS(dir), PathOptions{All: true, Gitignore: true}))
			both = slices.DeleteFunc(both, func(name string) bool { return name == ".git" || strings.HasPrefix(name, ".git/") })
			if !slices.Equal(both, got) {
				t.Errorf("with --all: got %v", both)
			}
		})
	}
}

// TestGitignoreTooLarge uses a pattern file of unreasonable size.
func TestGitignoreTooLarge(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"d/.gitignore": strings.Repeat("a\n", 1<<20)})
	_, err := fs.ReadDir(Sources(os.DirFS(dir), PathOptions{Gitignore: true}), "d")
	if err == nil || !strings.Contains(err.Error(), "d/.gitignore is larger") {
		t.Errorf("got %v", err)
	}
	if _, err := fs.ReadDir(Sources(os.DirFS(dir), PathOptions{}), "d"); err != nil {
		t.Error(err)
	}
}

// TestGitignoreCached changes ignored files and patterns between evaluations.
func TestGitignoreCached(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"a.nu":           "export def main [--all] {\n  derivation {name: a, src: (fetch path ./src --gitignore --all=$all), build: {|b| mkdir $b.out }}\n}\n",
		"src/.gitignore": "*.o\n", "src/a.c": "int a;\n", "src/.git/info/exclude": "",
	})
	cache := t.TempDir()
	last := ""
	for _, c := range []struct {
		what    string
		files   map[string]string
		cached  bool
		changed bool
		args    []string
	}{
		{"first", nil, false, true, nil},
		{"again", nil, true, false, nil},
		{"an ignored file", map[string]string{"src/a.o": "object"}, true, false, nil},
		{"a file", map[string]string{"src/b.c": "int b;\n"}, false, true, nil},
		{"the list of the repository", map[string]string{"src/.git/info/exclude": "b.c\n"}, false, true, nil},
		{"another flag", nil, false, true, []string{"--all"}},
	} {
		writeFiles(t, dir, c.files)
		res, err := testEngine(t, &Options{CacheDir: cache}).Eval(t.Context(), &Request{
			Sets: []Mount{{Path: "/work", FS: os.DirFS(dir), Host: dir}}, File: "/work/a.nu", Args: c.args,
		})
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if changed := res.Root.String() != last; res.Cached != c.cached || changed != c.changed {
			t.Errorf("%s: got cached %v, changed %v", c.what, res.Cached, changed)
		}
		last = res.Root.String()
		if len(res.Paths) != 1 || !res.Paths[0].Gitignore || res.Paths[0].All != (c.args != nil) {
			t.Errorf("%s: got %+v", c.what, res.Paths)
		}
	}
}

// opening counts how many source files are opened.
type opening struct {
	fs.FS
	opens atomic.Int32
}

func (o *opening) Open(name string) (fs.File, error) {
	if strings.HasPrefix(path.Base(name), "f") {
		o.opens.Add(1)
	}
	return o.FS.Open(name)
}
func (o *opening) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(o.FS, name) }
func (o *opening) ReadLink(name string) (string, error)       { return fs.ReadLink(o.FS, name) }
func (o *opening) Lstat(name string) (fs.FileInfo, error)     { return fs.Lstat(o.FS, name) }

// TestPathStat evaluates a package again and checks that `fetch path` reads only the changed files, also behind a link and below one.
func TestPathStat(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("nuka reads every file there")
	}
	for _, name := range []string{"src", "link", "src/deep"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testPathStat(t, name)
		})
	}
}

func testPathStat(t *testing.T, name string) {
	dir, cache := t.TempDir(), t.TempDir()
	files := map[string]string{"a.nu": fmt.Sprintf("export def main [] {\n  derivation {name: a, src: (fetch path ./%s), build: {|b| mkdir $b.out }}\n}\n", name)}
	for i := range 20 {
		files[fmt.Sprintf("src/deep/f%d", i)] = fmt.Sprint(i)
	}
	writeFiles(t, dir, files)
	if err := os.Symlink("src", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2100 * time.Millisecond) // before that, a change might not be visible in stat
	last := ""
	for i, want := range []int32{20, 0, 1} {
		fsys := &opening{FS: os.DirFS(dir)}
		if i == 2 {
			writeFiles(t, dir, map[string]string{"src/deep/f7": "x"}) // the same length as before
		}
		res, err := testEngine(t, &Options{CacheDir: cache}).Eval(t.Context(), &Request{
			Sets: []Mount{{Path: "/work", FS: fsys, Host: dir}}, File: "/work/a.nu",
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := fsys.opens.Load(); n != want {
			t.Errorf("%s, evaluation %d: %d files were opened, want %d", name, i, n, want)
		}
		if changed := res.Root.String() != last; changed != (want > 0) {
			t.Errorf("%s, evaluation %d: another package is %v", name, i, changed)
		}
		last = res.Root.String()
	}
}
