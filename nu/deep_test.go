package nu

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// chain returns n package files. Each uses the next one, and the last one has the given text.
func chain(n int, last string) map[string]string {
	files := map[string]string{fmt.Sprintf("p%d.nu", n-1): last}
	for i := range n - 1 {
		files[fmt.Sprintf("p%d.nu", i)] = fmt.Sprintf(`use p%[2]d.nu
export def main [] { derivation {name: p%[1]d, packages: [(p%[2]d)], build: {|b| mkdir $b.out } } }`, i, i+1)
	}
	return files
}

// TestDeepChain evaluates chains longer than the limit on nested calls, and checks the positions of their errors.
func TestDeepChain(t *testing.T) {
	n := 3000
	if testing.Short() {
		n = 300
	}
	res, err := eval(t, chain(n, `export def main [] { derivation {name: last, build: {|b| mkdir $b.out } } }`), "/work/p0.nu")
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Packages) != n || res.Packages[0].Name != "last" || res.Name != "p0" {
		t.Errorf("got %d packages, the first %s and the root %s", len(res.Packages), res.Packages[0].Name, res.Name)
	}
	_, err = eval(t, chain(300, "export def main [] {\n  error make {msg: broken} }"), "/work/p0.nu")
	if err == nil || !strings.HasPrefix(err.Error(), "p299.nu:2:14: broken") {
		t.Errorf("got %v, want the error of the last file", err)
	}
	_, err = eval(t, chain(300, "use p7.nu\nexport def main [] { p7 }"), "/work/p0.nu")
	if err == nil || !strings.Contains(err.Error(), "p299.nu:1:5: packages use each other in a circle: p7.nu → p8.nu") {
		t.Errorf("got %v, want the circle", err)
	}
	_, err = eval(t, chain(300, "use p300.nu\nexport def main [] { p300 }"), "/work/p0.nu")
	if err == nil || !strings.HasPrefix(err.Error(), "p299.nu:1:5: module p300.nu not found") {
		t.Errorf("got %v, want the use of a file that is not there", err)
	}
}

// TestDeepOnce checks that a repeated evaluation shows its messages once, in the order of the calls, reads each path once, and
// reports an error of a deep package like any other.
func TestDeepOnce(t *testing.T) {
	files := chain(150, `export def main [] { print last; derivation {name: last, src: (fetch path ./src), build: {|b| mkdir $b.out } } }`)
	files["src/a"] = "a"
	files["broken.nu"] = `use p0.nu
export def main [] { p0 | ignore; error make {msg: broken} }`
	files["both.nu"] = `use p0.nu
use p1.nu
use broken.nu
export def main [] {
  print before
  let one = p0
  print between
  let caught = try { broken; "no" } catch {|e| $e.msg }
  print $caught
  derivation {name: both, src: (fetch path ./src), packages: [$one (p1)], build: {|b| mkdir $b.out } }
}`
	files["root.nu"] = `use q0.nu
export def main [] { print root; let q = q0; print after; derivation {name: root, packages: [$q], build: {|b| mkdir $b.out } } }`
	for name, text := range chain(100, files["both.nu"]) {
		files["q"+name[1:]] = strings.ReplaceAll(strings.ReplaceAll(text, "use p", "use q"), "packages: [(p", "packages: [(q")
	}
	files["q99.nu"] = files["both.nu"]
	res, err := eval(t, files, "/work/root.nu")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"root\n", "before\n", "last\n", "between\n", "broken\n", "after\n"}
	if d := cmp.Diff(want, res.Messages); d != "" {
		t.Errorf("messages (-want +got)\n%s", d)
	}
	if len(res.Paths) != 1 {
		t.Errorf("a path is listed %d times", len(res.Paths))
	}
}

// TestDeepWithoutEnd checks that endless recursion is an error, also where packages may be called repeatedly.
func TestDeepWithoutEnd(t *testing.T) {
	files := map[string]string{
		"a.nu": `use b.nu
export def main [] { (b --of $b) }`,
		"b.nu": `export def main [--of: record] {
  derivation {name: b, packages: {of: $of}, build: {|b| mkdir $b.out } } }`,
		"loop.nu": `export def main [--of: record] { derivation {name: l, packages: {of: {__module: "/work/loop.nu"}}, build: {|b| mkdir $b.out } } }`,
		"fun.nu":  `export def main [] { def f [] { f }; f }`,
	}
	if _, err := eval(t, files, "/work/b.nu"); err != nil {
		t.Error(err)
	}
	for file, want := range map[string]string{
		"/work/loop.nu": "is called by itself",
		"/work/fun.nu":  "commands call each other more than 200 deep",
	} {
		if _, err := eval(t, files, file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", file, err, want)
		}
	}
}

// BenchmarkWide evaluates a package of a thousand files.
func BenchmarkWide(b *testing.B) {
	const n = 1000
	fsys := fstest.MapFS{}
	uses, calls := "", ""
	for i := range n {
		fsys[fmt.Sprintf("p%d.nu", i)] = &fstest.MapFile{Data: []byte(fmt.Sprintf(
			"export def main [] { derivation {name: p%d, version: \"1\", build: {|b| mkdir $b.out; \"%d\" | save ($b.out | path join f) }} }\n", i, i))}
		uses += fmt.Sprintf("use p%d.nu\n", i)
		calls += fmt.Sprintf("(p%d) ", i)
	}
	fsys["a.nu"] = &fstest.MapFile{Data: []byte(uses + "export def main [] { derivation {name: a, packages: [" + calls + "], build: {|b| 1}} }\n")}
	benchmarkEval(b, fsys, "/work/a.nu", n)
}

// BenchmarkChain evaluates a chain of a thousand files.
func BenchmarkChain(b *testing.B) {
	const n = 1000
	fsys := fstest.MapFS{}
	for name, text := range chain(n, `export def main [] { derivation {name: last, build: {|b| mkdir $b.out } } }`) {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	benchmarkEval(b, fsys, "/work/p0.nu", n)
}

func benchmarkEval(b *testing.B, fsys fstest.MapFS, file string, files int) {
	e, err := New(b.Context(), &Options{Runtime: testRuntime})
	if err != nil {
		b.Fatal(err)
	}
	req := &Request{Sets: []Mount{{Path: "/work", FS: fsys}}, File: file}
	start := time.Now()
	for b.Loop() {
		if _, err := e.Eval(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(time.Since(start).Microseconds())/float64(b.N*files), "µs/file")
}
