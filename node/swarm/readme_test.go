package swarm

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The README's table of constants has a row for each constant of these packages that is a size, a number or a time, with its value as
// the code has it.
func TestConstantsTable(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `(\\w+\\.\\w+)` \\| `([^`]+)` \\| (.+) \\|$")
	rows := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(string(readme), -1) {
		if rows[m[1]] != "" {
			t.Errorf("%s has two rows", m[1])
		}
		rows[m[1]] = m[2]
	}
	code := constants(t, "peers", "routing", "wire", "fetch", "serve", "claims")
	for _, c := range code {
		if got := rows[c.name]; got != c.value {
			t.Errorf("README.md: the row of %s has %q, want | `%s` | `%s` | … |", c.name, got, c.name, c.value)
		}
		delete(rows, c.name)
	}
	for name := range rows {
		t.Errorf("README.md: there is no constant %s", name)
	}
}

type constant struct{ name, value string }

// constants returns the constants of packages that are not text and no list of kinds, in the order of the code.
func constants(t *testing.T, packages ...string) (list []constant) {
	t.Helper()
	fset := token.NewFileSet()
	for _, pkg := range packages {
		files, err := filepath.Glob(filepath.Join(pkg, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pkg, len(files), err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(fset, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				g, ok := d.(*ast.GenDecl)
				if !ok || g.Tok != token.CONST {
					continue
				}
				for _, s := range g.Specs {
					v := s.(*ast.ValueSpec)
					for i, value := range v.Values {
						var text strings.Builder
						if err := printer.Fprint(&text, fset, value); err != nil {
							t.Fatal(err)
						}
						if name := v.Names[i].Name; !strings.HasPrefix(text.String(), `"`) && text.String() != "iota" && !slices.Contains(wireFormat, name) {
							list = append(list, constant{fmt.Sprint(path.Base(pkg), ".", name), text.String()})
						}
					}
				}
			}
		}
	}
	return list
}

// wireFormat are constants of yamux's frames, which are not chosen.
var wireFormat = []string{"frameHead", "frameOfData", "frameSYN"}
