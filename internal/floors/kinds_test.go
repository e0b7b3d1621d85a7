package floors

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/MordragT/nuka/pir"
)

// TestKindsOfPIR checks that every switch over the kinds of PIR, and every map of them, names every kind. A default case does not count:
// it would handle future kinds without a decision.
func TestKindsOfPIR(t *testing.T) {
	want := kindNames()
	found := 0
	for _, s := range sources(t) {
		ours, _ := s.imports()
		if s.test || s.pkg != "pir" && !slices.Contains(ours, "pir") {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path.Join(root, s.name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			named := map[string]bool{}
			for _, e := range choices(n) {
				if name, ok := kindName(e, s.pkg); ok {
					named[name] = true
				}
			}
			if len(named) == 0 {
				return true
			}
			found++
			if got := slices.Sorted(maps.Keys(named)); !slices.Equal(got, want) {
				t.Errorf("%s: of the kinds of PIR only %s are named, want %s", fset.Position(n.Pos()), strings.Join(got, ", "), strings.Join(want, ", "))
			}
			return true
		})
	}
	if found < 2 {
		t.Errorf("found %d switches and maps; is their form another?", found)
	}
}

// kindNames returns the names of the constants of the kinds, sorted.
func kindNames() (names []string) {
	for _, k := range pir.Kinds() {
		names = append(names, strings.ToUpper(string(k[:1]))+string(k[1:]))
	}
	slices.Sort(names)
	return names
}

// choices returns the values that a switch compares with, or the keys of a map.
func choices(n ast.Node) (all []ast.Expr) {
	switch n := n.(type) {
	case *ast.SwitchStmt:
		if n.Tag == nil {
			return nil // conditions, which may not concern kinds
		}
		for _, c := range n.Body.List {
			all = append(all, c.(*ast.CaseClause).List...)
		}
	case *ast.CompositeLit:
		if _, ok := n.Type.(*ast.MapType); !ok {
			return nil
		}
		for _, e := range n.Elts {
			if pair, ok := e.(*ast.KeyValueExpr); ok {
				all = append(all, pair.Key)
			}
		}
	}
	return all
}

// kindName returns the name of the kind if an expression in a package is one.
func kindName(e ast.Expr, pkg string) (string, bool) {
	name := ""
	switch e := e.(type) {
	case *ast.Ident:
		if pkg == "pir" {
			name = e.Name
		}
	case *ast.SelectorExpr:
		if x, ok := e.X.(*ast.Ident); ok && x.Name == "pir" {
			name = e.Sel.Name
		}
	}
	return name, slices.Contains(kindNames(), name)
}
