package nu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"github.com/MordragT/nuka/source"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/wasmrt"
	"github.com/google/go-cmp/cmp"
)

// toolPackage is the package that test packages depend on: tool is testdata/tool, and hammer is a link to it.
const toolPackage = `export def main [] { derivation {name: tool, version: "1", build: {|b| mkdir $b.out}} }`

// built is the result of a build.
type built struct {
	err            error
	stdout, stderr string
	out            map[string]string // path → text; an executable's path ends in *, a link's text begins with ->
	events         []BuildEvent
	unpacked       []Unpacking
	pir            []byte
}

// build evaluates /work/a.nu and runs its build closure.
func build(t *testing.T, files map[string]string, args ...string) *built {
	t.Helper()
	files["packages/tool.nu"] = toolPackage
	res, err := eval(t, files, "/work/a.nu", args...)
	if err != nil {
		t.Fatal(err)
	}
	return buildPIR(t, t.Context(), res)
}

func buildPIR(t *testing.T, ctx context.Context, res *Result) *built {
	t.Helper()
	return buildIn(t, ctx, res, nil)
}

// buildIn runs the build closure with files in the folder where the closure starts.
func buildIn(t *testing.T, ctx context.Context, res *Result, files map[string]string) *built {
	t.Helper()
	return buildWith(t, ctx, res, files, nil)
}

// buildLimited is buildIn with limits on programs.
func buildLimited(t *testing.T, ctx context.Context, res *Result, files map[string]string, limits wasmrt.Limits) *built {
	t.Helper()
	return buildWith(t, ctx, res, files, func(s *BuildSpec) { s.Host.Limits = limits })
}

// buildWith is buildIn with a specification that change has modified, unless change is nil.
func buildWith(t *testing.T, ctx context.Context, res *Result, files map[string]string, change func(*BuildSpec)) *built {
	t.Helper()
	b := &built{out: map[string]string{}}
	top := res.Packages[len(res.Packages)-1]
	b.pir = top.Canonical
	dirs := map[string]*wasmrt.Dir{}
	var mounts []wasmrt.Mount
	for _, at := range []string{BuildDir, OutDir, SrcDir, "/tmp"} {
		dir, err := wasmrt.OpenDir(t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close() //nolint:errcheck // a test's folder
		dirs[at] = dir
		mounts = append(mounts, wasmrt.Mount{Path: at, Dir: dir})
	}
	if err := dirs[SrcDir].WriteFile("src/main.c", []byte("int main() {}\n"), false); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := dirs[BuildDir].WriteFile(name, []byte(text), false); err != nil {
			t.Fatal(err)
		}
	}
	var path []string
	for _, p := range res.Packages {
		if p.Name != "tool" {
			continue
		}
		info, err := os.Stat(toolWasm)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := wasmrt.NewTree(slices.Values([]wasmrt.Entry{
			{Path: "bin", Kind: wasmrt.KindDir},
			{Path: "bin/tool", Kind: wasmrt.KindFile, Exec: true, File: toolWasm, Size: info.Size()},
			{Path: "bin/hammer", Kind: wasmrt.KindSymlink, Target: "tool"},
			{Path: "bin/clang", Kind: wasmrt.KindSymlink, Target: "tool"},
			{Path: "bin/lua", Kind: wasmrt.KindSymlink, Target: "tool"},
		}))
		if err != nil {
			t.Fatal(err)
		}
		at := StoreDir + "/" + p.PID.String()
		mounts = append(mounts, wasmrt.Mount{Path: at, Tree: tree})
		path = append(path, at+"/bin")
	}
	fsys, err := wasmrt.NewFS(mounts...)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	var mu sync.Mutex
	spec := &BuildSpec{
		PIR: top.Canonical, Kinds: source.Table(), FS: fsys, Jobs: 2, Stdout: &stdout, Stderr: &stderr,
		Host: &wasmrt.Host{Runtime: testRuntime, FS: fsys, Path: path},
		Unpack: func(_ context.Context, u *Unpacking) error { // package node/worker has the real one
			mu.Lock()
			defer mu.Unlock()
			b.unpacked = append(b.unpacked, *u)
			return nil
		},
		Event: func(e BuildEvent) {
			mu.Lock()
			defer mu.Unlock()
			b.events = append(b.events, e)
		},
	}
	if change != nil {
		change(spec)
	}
	b.err = RunBuild(ctx, testRuntime, spec)
	b.stdout, b.stderr = stdout.String(), stderr.String()
	out := dirs[OutDir].FS()
	err = fs.WalkDir(out, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := fs.ReadLink(out, name)
			b.out[name] = "-> " + target
			return err
		}
		text, err := fs.ReadFile(out, name)
		if info.Mode()&0o111 != 0 {
			name += "*"
		}
		b.out[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// script returns a package whose build closure has the given lines.
func script(lines string) map[string]string {
	return map[string]string{"a.nu": "use tool.nu\nexport def main [] {\n  derivation {name: a, version: \"1.2\", packages: [$tool], env: {LEVEL: 3}, build: {|b|\n" + lines + "\n} }\n}\n"}
}

func TestRunBuild(t *testing.T) {
	tool := func(b *built) string {
		p, err := pir.Decode(b.pir)
		if err != nil {
			t.Fatal(err)
		}
		return StoreDir + "/" + p.Packages["tool"].String()
	}
	for _, c := range []struct {
		name, lines string
		stdout      string
		out         map[string]string
	}{
		{"argument", `print $"($b.name) ($b.version) ($b.out) ($b.jobs)"; print $b.packages.tool`, "a 1.2 /nuka/out 2\nTOOL\n", nil},
		{"program", `^tool echo hi; ^hammer echo ho`, "hi\ncalled as hammer\nho\n", nil},
		{"environment", `^tool env LEVEL; with-env {X: y} { ^tool env X }; print $env.LEVEL`, "3\ny\n3\n", nil},
		{"captured", `let v = (^tool echo one); print $"<($v)>"; ^tool echo "a\nb" | lines | length | print $in`, "<one>\n2\n", nil},
		{"stdin", `"text" | ^tool cat; [a b] | ^tool cat`, "texta\nb\n", nil},
		{"arguments", `let l = [x "y z"]; ^tool args -o $"($b.name).o" ...$l 3`, `["-o" "a.o" "x" "y z" "3"]` + "\n", nil},
		{"folders", `cd /nuka/src; ^tool pwd; cd src; ^tool pwd; cd ..; print $env.PWD`, "/nuka/src\n/nuka/src/src\n/nuka/src\n", nil},
		{"globs", `cd /nuka/src; ^tool echo src/*.c; print (glob **/*.c); print (ls src | get name | first)`, "src/main.c\n[\"/nuka/src/src/main.c\"]\nsrc/main.c\n", nil},
		// Patterns to exclude are relative to the leading folders of the glob, as in Nushell.
		{"excluded", `
  mkdir w/x/test w/test; for f in [w/a.c w/a_x.c w/x/b.c w/x/test/t.c w/test/u.c other.c] { "" | save $f }
  let names = {|l| $l | each {|p| $p | str replace $"($env.PWD)/" "" } }
  print (do $names (glob $"($env.PWD)/w/*.c" --exclude ["a_x.c"]))
  print (do $names (glob $"($env.PWD)/w/**/*.c" --exclude ["**/test" "**/a_?.c"]))
  print (do $names (glob w/**/*.c --exclude [x test/u.c]))
  print (do $names (glob w/a.c --exclude [a.c]))
  print (glob w/*.c --exclude [w/a.c] | length)
  print (do $names (glob w/*.c --exclude [$"($env.PWD)/w/a.c"]))
  print (do $names (glob *.{c,h} --exclude [other.*]))`,
			"[\"w/a.c\"]\n[\"w/a.c\", \"w/x/b.c\"]\n[\"w/a.c\", \"w/a_x.c\"]\n[]\n2\n[\"w/a_x.c\"]\n[]\n", nil},
		// Everything in an excluded folder is excluded, in subfolders too.
		{"excluded folders", `
  mkdir w/x/test/deep w/test w/bin; for f in [w/a.c w/x/b.c w/x/test/t.c w/x/test/deep/d.c w/test/u.c w/bin/test] { "" | save $f }
  let names = {|l| $l | each {|p| $p | str replace $"($env.PWD)/" "" } }
  print (do $names (glob w/**/*.c --exclude ["**/test/**"]))
  print (do $names (glob w/** --exclude ["**/test/**"]))
  print (do $names (glob $"($env.PWD)/w/**/*.c" --exclude [test/** x/test/deep/**]))
  print (do $names (glob w/**/*.c --exclude ["{test,x/test/deep}/**/**"]))
  print (glob w/**/*.c --exclude [**] | length) (glob w/**/*.c --exclude [$"($env.PWD)/w/**"] | length)
  print (do $names (glob w/**/* --exclude ["**/test/**"] --no-dir))`,
			"[\"w/a.c\", \"w/x/b.c\"]\n[w/bin, w/x]\n[\"w/a.c\", \"w/x/b.c\", \"w/x/test/t.c\"]\n[\"w/a.c\", \"w/x/b.c\", \"w/x/test/t.c\"]\n0\n0\n" +
				"[\"w/a.c\", w/bin/test, \"w/x/b.c\"]\n", nil},
		{"redirect", `^tool both o> both.txt; ^tool both o+e> all.txt; open both.txt | print -n $in; open all.txt | lines | length | print $in`, "to stdout\n2\n", nil},
		{"files", `
  mkdir a/b; "x" | save a/b/f; "y" | save --append a/b/f; cp a/b/f g; mv g h; cp -r a ($b.out | path join a)
  cp h $b.out; rm h; print ("h" | path exists) ("a" | path type) ("zz" | path type); touch ($b.out | path join empty)
  {x: 1, y: [a]} | save ($b.out | path join r.json); print (open ($b.out | path join r.json) | get y.0)`,
			"false\ndir\nnull\na\n", map[string]string{"a/b/f": "xy", "h": "xy", "empty": "", "r.json": "{\n  \"x\": 1,\n  \"y\": [\n    \"a\"\n  ]\n}"}},
		{"executable", `
  "#!/usr/bin/env tool\n" | save s; chmod +x s; cp s $b.out; symlink s ($b.out | path join t)
  "#!/bin/none -x\n" | save ($b.out | path join n); fix shebangs $b.out
  wrap exe ($b.out | path join bin w) tool --args [echo wrapped] --env {A: b}
  wrap exe ($b.out | path join bin v) $"($b.packages.tool)/bin/tool"
  wrap exe ($b.out | path join bin own) ($b.out | path join s) --args [$"-I($b.out)/share"]
  "prefix=/usr/local\n" | save ($b.out | path join x.pc); fix path $b.out --from /usr/local --to $b.packages.tool
  ^($b.out | path join bin w) more`,
			"wrapped more\n", map[string]string{
				"s*": "#!TOOL/bin/tool\n", "t": "-> s", "n": "#!/bin/none -x\n", "x.pc": "prefix=TOOL\n",
				"bin/w*":   "#!nuka-wrap\n" + `{"args":["echo","wrapped"],"env":{"A":"b"},"exe":"TOOL/bin/tool"}` + "\n",
				"bin/own*": "#!nuka-wrap\n" + `{"args":["-I/nuka/out/share"],"at":"bin/own","exe":"/nuka/out/s","out":"/nuka/out"}` + "\n",
				"bin/v*":   "#!nuka-wrap\n" + `{"exe":"TOOL/bin/tool"}` + "\n",
			}},
		{"run all", `
  let r = (1..5 | each {|i| [tool write $"f($i)" $"($i)"] } | run-all); print ($r | get exit)
  print (glob f* | length) ([[tool echo x] {run: [tool pwd], cwd: /nuka/src} {run: [tool cat], stdin: in} {run: [tool env K], env: {K: v}}] | run-all | get stdout | str trim)
  print ([[tool fail 3 no] [tool echo x]] | run-all --ignore-errors | get exit) ([] | run-all | length)`,
			"[0, 0, 0, 0, 0]\nx\n/nuka/src\ninv\n5\n[x, /nuka/src, in, v]\nx\n[3, 0]\n0\n", nil},
		{"caught", `try { ^tool fail 2 oops } catch {|e| print $e.msg }; try { ^nosuch } catch {|e| print "none" }`, "^tool fail 2 oops exited with 2\nnone\n", nil},
		{"control", `
  for i in 1..2 { if $i == 1 { print one } else { match $i { 2 => { print two } } } }
  mut n = 0; while $n < 2 { $n += 1 }; print $n
  def double [x: int] { $x * 2 }; print (double 4)`, "one\ntwo\n2\n8\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := build(t, script(c.lines))
			if b.err != nil {
				t.Fatal(b.err)
			}
			clean := func(s string) string { return strings.ReplaceAll(s, tool(b), "TOOL") }
			if d := cmp.Diff(c.stdout, clean(b.stdout)); d != "" {
				t.Errorf("stdout: -want +got:\n%s", d)
			}
			for name, text := range b.out {
				b.out[name] = clean(text)
			}
			if c.out == nil {
				c.out = map[string]string{}
			}
			if d := cmp.Diff(c.out, b.out); d != "" {
				t.Errorf("output: -want +got:\n%s", d)
			}
		})
	}
}

func TestRunBuildErrors(t *testing.T) {
	for _, c := range []struct{ name, lines, want string }{
		{"exit", "  cd /nuka/build\n  ^tool fail 7 \"a.c:1: broken\"", "a:3:4: ^tool fail 7 \"a.c:1: broken\" exited with 7\n 3 |   ^tool fail 7 \"a.c:1: broken\"\n   |    ^^^^\nhint: it said:\na.c:1: broken"},
		{"no program", "  ^mkae", "a:2:4: program \"mkae\": not found in any input package\n 2 |   ^mkae\n   |    ^^^^\nhint: programs are looked up in the bin folders of `packages`: is its package listed?"},
		{"read-only", "  \"x\" | save ($b.packages.tool | path join x)", ""},
		{"no file", "  cp none.txt x", "a:2:6: cp /nuka/build/none.txt: no such file or folder\n 2 |   cp none.txt x\n   |      ^^^^^^^^"},
		{"exists", "  touch x\n  \"y\" | save x", "a:3:14: save /nuka/build/x: it exists already\n 3 |   \"y\" | save x\n   |              ^\nhint: overwrite it with --force, or add to it with --append"},
		{"run all", "  [[tool echo a] [tool fail 2 first] [tool echo b]] | run-all", "a:2:18: ^tool fail 2 first exited with 2\n 2 |   [[tool echo a] [tool fail 2 first] [tool echo b]] | run-all\n   |                  ^^^^^^^^^^^^^^^^^^^\nhint: it said:\nfirst"},
		{"derivation", "  derivation {name: x, data: 1}", ""},
		{"error make", "  error make {msg: \"no\"}", ""},
		{"first line", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := build(t, script(c.lines))
			if c.name == "first line" {
				b = build(t, map[string]string{"a.nu": "use tool.nu\nexport def main [] {\n  derivation {name: a, packages: [$tool], build: {|b| ^tool fail 1 }}\n}\n"})
				c.want = "a:1:7: ^tool fail 1 exited with 1\n 1 | {|b| ^tool fail 1 }\n   |       ^^^^"
			}
			var diags *Error
			if !errors.As(b.err, &diags) {
				t.Fatalf("got error %v, want an *Error", b.err)
			}
			if c.want == "" {
				return
			}
			if d := cmp.Diff(c.want, b.err.Error()); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// TestCalledFrom checks that errors in commands of other files name the lines that called these commands.
func TestCalledFrom(t *testing.T) {
	files := func(lines string) map[string]string {
		return map[string]string{
			"packages/lib/c.nu": `
export def compile [sources: list<string>] {
  $sources | each {|s| [tool fail 2 $s] } | run-all | ignore
}
export def all [sources: list<string>] {
  print "all"
  compile $sources
}
export def one [source: string] { ^tool fail 3 $source }
export def again [n: int] {
  if $n == 0 { ^tool fail 4 end }
  again ($n - 1)
}
`,
			"a.nu": "use tool.nu\nuse lib/c.nu\nexport def main [] {\n  derivation {name: a, packages: [$tool], build: {|b|\n" + lines + "\n  } }\n}\n",
		}
	}
	for _, c := range []struct {
		name, lines, at string
		want            []string // the calls
	}{
		{"direct", "print one\nc compile [x.c]", "a > c compile:2:24", []string{"a:3:1"}},
		{"two calls", "c all [x.c]", "a > c all > compile:2:24", []string{"a > c all:3:3", "a:2:1"}},
		{"in a closure", "[x.c] | each {|s|\n  c one $s\n} | ignore", "a > c one:1:21", []string{"a:3:3"}},
		{"of its own file", "def here [] {\n  ^tool fail 1\n}\nprint x\nhere", "a:3:4", []string{"a:6:1"}},
		// A caught error does not appear in a later one.
		{"after a caught one", "try { c compile [x.c] }\nc one y.c", "a > c one:1:21", []string{"a:3:1"}},
		{"in the catch", "try { c compile [x.c] } catch {\n  let x = 1\n  c one y.c\n}", "a > c one:1:21", []string{"a:4:3"}},
		// The error before "ignore" is a value until the statement ends.
		{"ignored output", "c one y.c | ignore", "a > c one:1:21", []string{"a:2:1"}},
		{"ignored output of two calls", "print x\nc all [x.c] | ignore", "a > c all > compile:2:24", []string{"a > c all:3:3", "a:3:1"}},
		{"used output", "c one y.c | length", "a > c one:1:21", []string{"a:2:1"}},
		{"ignored errors", "c one y.c | ignore --stderr\n^tool fail 1", "a:3:2", nil},
		{"about the call", "c one 1 | ignore", "", nil},
		{"none", "try { c compile [x.c] }\n^tool fail 1", "a:3:2", nil},
		{"itself", "c again 20", "a > c again:2:17", []string{"a > c again:3:3", "a:2:1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.at == "" { // an error that is found before the closure runs
				if _, err := eval(t, files(c.lines), "/work/a.nu"); err == nil {
					t.Error("got no error")
				}
				return
			}
			b := build(t, files(c.lines))
			var diags *Error
			if !errors.As(b.err, &diags) || len(diags.Diags) != 1 {
				t.Fatalf("got error %v, want an *Error", b.err)
			}
			d := diags.Diags[0]
			if got := fmt.Sprintf("%s:%d:%d", d.File, d.Line, d.Col); got != c.at {
				t.Errorf("got the error at %s, want %s", got, c.at)
			}
			var calls []string
			for _, call := range d.Calls {
				calls = append(calls, fmt.Sprintf("%s:%d:%d", call.File, call.Line, call.Col))
			}
			if d := cmp.Diff(c.want, calls); d != "" {
				t.Errorf("calls: -want +got:\n%s\n%v", d, b.err)
			}
			for _, call := range calls {
				if !strings.Contains(b.err.Error(), "\n"+CalledFrom+call) {
					t.Errorf("%q does not name %s", b.err, call)
				}
			}
		})
	}
}

// TestFreeze runs closures that use values, closures and commands defined outside their text.
func TestFreeze(t *testing.T) {
	b := build(t, map[string]string{
		"packages/lib/c.nu": `
use flags.nu
const optimise = "-O2"
# Compiles sources.
export def compile [sources: list<string>, --debug, --define: string = "NONE"] {
  let extra = if $debug { ["-g"] } else { [] }
  $sources | each {|s| [tool echo $optimise ...(flags all) ...$extra $define $s] } | run-all | get stdout | str trim
}
export def --env enter [dir] { cd $dir }
export def count [n: int] { if $n > 0 { count ($n - 1) } else { "done" } }
`,
		"packages/lib/flags.nu": `
export const version = "5"
const base = [-Wall]
export def all [] { $base | append (own) }
def own [] { [$"-DV=($version)"] }
`,
		"a.nu": `
use tool.nu
use lib/c.nu
use lib/flags.nu
const unused = 1
def local [x] { $x + 1 }
export def main [--tests] {
  let limit = 10mb
  let deep = {name: d, list: [1 2 {a: 0x[00ff]}], wait: 5sec}
  let helper = {|x| let y = $x * $deep.list.0; $y + (local 1) }
  derivation {
    name: a, version: "1", packages: [$tool]
    build: {|b|
      # A comment is part of it.
      print (c compile [a.c b.c] --debug) (do $helper 5) $limit $deep.list.2.a $deep.wait $flags.version
      c enter /nuka/src
      print $env.PWD (c count 3)
      if $tests { print yes }
      [3 1] | each {|x| local $x } | print $in
    }
  }
}
`}, "--tests")
	if b.err != nil {
		t.Fatal(b.err)
	}
	want := "-O2 -Wall -DV=5 -g NONE a.c\n-O2 -Wall -DV=5 -g NONE b.c\n[\"-O2 -Wall -DV=5 -g NONE a.c\", \"-O2 -Wall -DV=5 -g NONE b.c\"]\n7\n10000000b\n0x[00FF]\n5000000000ns\n5\n/nuka/src\ndone\nyes\n[4, 2]\n"
	if d := cmp.Diff(want, b.stdout); d != "" {
		t.Errorf("-want +got:\n%s\n%s", d, b.pir)
	}
}

// TestScriptOutputLimit checks that a script's own output counts with the output of its programs, even if the script ignores the error.
func TestScriptOutputLimit(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want bool // the output is within the limit
	}{
		"little":   {`for i in 0..3 { print "0123456789" }`, true},
		"print":    {`for i in 0..2000 { print "0123456789012345678901234567890123456789" }`, false},
		"one":      {`print ("x" | fill --width 5000 --character "y")`, false},
		"caught":   {`for i in 0..2000 { try { print "0123456789012345678901234567890123456789" } }`, false},
		"together": {`for i in 0..30 { print "0123456789"; ^tool echo 0123456789 }; for i in 0..30 { print "0123456789" }`, false},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := eval(t, map[string]string{"packages/tool.nu": toolPackage, "a.nu": `use tool.nu
export def main [] { derivation {name: a, version: "1", packages: [(tool)], build: {|b| mkdir $b.out; ` + c.body + ` } } }`}, "/work/a.nu")
			if err != nil {
				t.Fatal(err)
			}
			b := buildLimited(t, t.Context(), res, nil, wasmrt.Limits{Output: 1000})
			if (b.err == nil) != c.want || len(b.stdout) > 1000 {
				t.Errorf("got %v, %d bytes where 1000 are the limit", b.err, len(b.stdout))
			}
			var limit *wasmrt.LimitError
			if !c.want && !errors.As(b.err, &limit) {
				t.Errorf("got %v, want the limit", b.err)
			}
		})
	}
}
