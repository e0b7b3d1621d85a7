package floors

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/MordragT/nuka"
)

// A source is one Go file outside of testdata folders.
type source struct {
	name string // slash-separated, relative to the root of the project
	pkg  string // folder
	test bool
	ast  *ast.File // package comment and imports
}

// imports returns the imports of the file: packages of the project relative to the root, others by their full path.
func (s *source) imports() (ours, others []string) {
	for _, spec := range s.ast.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		if dep, ok := strings.CutPrefix(p, module+"/"); ok {
			ours = append(ours, dep)
		} else if first, _, _ := strings.Cut(p, "/"); strings.Contains(first, ".") {
			others = append(others, p)
		}
	}
	return ours, others
}

// files returns the names of all files of the project, without those that .gitignore names.
func files(t *testing.T) []string {
	ignored, err := os.ReadFile(root + "/.gitignore")
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for line := range strings.Lines(string(ignored)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "/") {
			dirs = append(dirs, strings.Trim(line, "/"))
		}
	}
	var names []string
	err = fs.WalkDir(os.DirFS(root), ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || slices.Contains(dirs, p)):
			return fs.SkipDir
		case d.Type().IsRegular() && p != ".git":
			names = append(names, p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 100 {
		t.Fatalf("found %d files: is %s the root of the project?", len(names), root)
	}
	return names
}

// text returns the content of a file, and whether it is text.
func text(t *testing.T, name string) (string, bool) {
	b, err := os.ReadFile(path.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b), !slices.Contains(b, 0)
}

// sources parses the Go files.
func sources(t *testing.T) []*source {
	var all []*source
	fset := token.NewFileSet()
	for _, name := range files(t) {
		if !strings.HasSuffix(name, ".go") || strings.Contains("/"+name, "/testdata/") {
			continue
		}
		f, err := parser.ParseFile(fset, path.Join(root, name), nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &source{name: name, pkg: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), ast: f})
	}
	return all
}

// TestNoPrograms checks that no program is committed that was built for a machine: it comes in by an add of everything, and stays in the history.
func TestNoPrograms(t *testing.T) {
	for _, name := range files(t) {
		body, _ := text(t, name)
		for _, magic := range []string{"\x7fELF", "MZ\x90\x00", "\xcf\xfa\xed\xfe"} {
			if strings.HasPrefix(body, magic) {
				t.Errorf("%s is a built program", name)
			}
		}
	}
}
