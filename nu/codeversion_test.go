package nu

import (
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestCodeVersion checks that the cache key covers all code that an evaluation runs.
func TestCodeVersion(t *testing.T) {
	covered := map[string]string{
		"nu": "", "nu/gitignore": "", "nu/statcache": "", "ecosystem": "", "pir": "", "pir/cid": "", "pir/nuon": "", // codeVersion
		"source/kind": "", // kind.Table.Version
		"wasmrt":      "the engine sees a fixed clock, fixed random numbers and no file: that is what its tests hold",
	}
	const module = "github.com/MordragT/nuka/"
	seen := map[string]bool{}
	todo := []string{"nu"}
	for len(todo) > 0 {
		pkg := todo[0]
		todo = todo[1:]
		if seen[pkg] || strings.HasPrefix(pkg, "internal/") {
			continue
		}
		seen[pkg] = true
		why, ok := covered[pkg]
		if !ok {
			t.Errorf("an evaluation runs code of %s, which is not in the key of its cache; add it to codeVersion", pkg)
		}
		if why != "" {
			continue
		}
		files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(pkg), "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pkg, len(files), err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range f.Imports {
				p, _ := strconv.Unquote(spec.Path.Value)
				if dep, ok := strings.CutPrefix(p, module); ok {
					todo = append(todo, dep)
				}
			}
		}
	}
	for pkg, why := range covered {
		if !seen[pkg] {
			t.Errorf("%s is not run by an evaluation (%s)", pkg, why)
		}
	}
	for _, name := range []string{"fetch.go", path.Join("gitignore", "glob.go"), path.Join("statcache", "statcache.go")} {
		if _, err := ownSources.ReadFile(name); err != nil {
			t.Error(err)
		}
	}
}
