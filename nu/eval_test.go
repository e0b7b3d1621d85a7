package nu

import (
	"context"
	"errors"
	"fmt"
	"github.com/MordragT/nuka/source"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func testEngine(t *testing.T, o *Options) *Engine {
	t.Helper()
	if o == nil {
		o = &Options{}
	}
	if o.Runtime == nil {
		o.Runtime = testRuntime
	}
	if o.Kinds.Kinds == nil {
		o.Kinds = source.Table()
	}
	e, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// sets makes mounts from paths and texts: "packages/…" is the library, any other path is in the user's folder.
func sets(files map[string]string) []Mount {
	lib, work := fstest.MapFS{}, fstest.MapFS{}
	for name, text := range files {
		if rest, ok := strings.CutPrefix(name, "packages/"); ok {
			lib[rest] = &fstest.MapFile{Data: []byte(text)}
		} else {
			work[name] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	return []Mount{{Path: "/packages", FS: lib, Library: true}, {Path: "/work", FS: work, Host: "."}}
}

func eval(t *testing.T, files map[string]string, file string, args ...string) (*Result, error) {
	t.Helper()
	return testEngine(t, nil).Eval(t.Context(), &Request{Sets: sets(files), File: file, Args: args})
}

func TestEval(t *testing.T) {
	files := map[string]string{
		"packages/lib/zlib.nu": `
use ../toolchain/clang.nu
export const version = "1.3.1"
export def main [--minizip] {
  let flags = if $minizip { ["-DMINIZIP"] } else { [] }
  derivation {
    name: zlib, version: $version, license: Zlib
    src: (fetch crate libz-sys 1.1.20 --hash sha256-15d118bbf3771060e7311cc7bb0545b01d08a8b4a7de949198dec1fa0ca1c0f2 --strip 1)
    packages: [$clang]
    build: {|b|
      cd $b.src
      with-env {CC: clang} { ^clang ...$flags -c a.c -o a.o }
    }
  }
}`,
		"packages/toolchain/clang.nu": `
export def main [] {
  derivation { name: clang, version: "22", build: {|b| mkdir $b.out } }
}`,
		"hello.nu": `
use lib/zlib.nu
use toolchain/clang.nu
export def main [--nls] {
  derivation {
    name: hello, version: "1.0"
    packages: [(zlib --minizip) $clang]
    build: {|b| ^clang --version | save version.txt; print $nls }
  }
}`,
	}
	res, err := eval(t, files, "/work/hello.nu", "--nls")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range res.Packages {
		names = append(names, p.Name)
		if _, err := pir.Decode(p.Canonical); err != nil {
			t.Error(err)
		}
		t.Logf("%s %s", p.PID.Short(), p.Canonical)
	}
	if got, want := strings.Join(names, " "), " clang zlib hello"; got != want {
		t.Errorf("got packages %q, want %q", got, want)
	}
}

// pirs evaluates a package file and returns the canonical PIRs by name; a fetch has none.
func pirs(t *testing.T, files map[string]string, file string, args ...string) map[string]*pir.PIR {
	t.Helper()
	res, err := eval(t, files, file, args...)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*pir.PIR{}
	for _, p := range res.Packages {
		got, err := pir.Decode(p.Canonical)
		if err != nil {
			t.Fatal(err)
		}
		if pir.Sum(p.Canonical) != p.PID {
			t.Errorf("%s: PID is not that of its bytes", p.Name)
		}
		out[p.Name] = got
	}
	return out
}

// pkg returns a package file with the given fields beside name and version.
func pkg(name, fields string) string {
	return "export def main [] {\n  derivation {name: " + name + ", version: \"1\", " + fields + "}\n}\n"
}

const makesOut = `build: {|b| mkdir $b.out }`

// TestDependencies names dependencies in every way that the language has.
func TestDependencies(t *testing.T) {
	files := map[string]string{
		"packages/lib/zlib.nu":      "export const version = \"1.3\"\n" + pkg("zlib", makesOut),
		"packages/lib/wasi-libc.nu": pkg("wasi-libc", makesOut),
		"packages/tool/mod.nu":      "export use clang.nu\nexport def helper [] { 1 }\n" + pkg("tool", makesOut),
		"packages/tool/clang.nu":    "export def main [--cxx] { derivation {name: (if $cxx { \"clang++\" } else { \"clang\" }), version: \"1\", build: {|b| mkdir $b.out }} }",
		"packages/wrap.nu": `
# A wrapper as users write it.
export def derivation2 [name: string, packages: list<any>, build: closure, --src: record] {
  let shout = ($name | str upcase)
  derivation ({name: $name, version: "1", packages: $packages, env: {SHOUT: $shout}, build: {|b| print $shout; do $build $b }} | merge (if $src != null { {src: $src} } else { {} }))
}
export def pass [dep] { $dep }`,
		"a.nu": `
use lib/zlib.nu
use lib/wasi-libc.nu
use tool
use wrap.nu
use wrap.nu [derivation2 pass]
export def main [] {
  let flags = [-O2]
  let all = [$zlib (wasi-libc) $wasi_libc (pass $tool)]
  derivation2 a [...$all (tool clang --cxx) null] {|b| ^clang++ ...$flags $zlib.version } --src (fetch path ./src)
}`,
		"b.nu":   "use lib/zlib.nu\nuse tool\n" + pkg("b", `src: {main: (fetch path ./src), lib: $zlib}, packages: {z: $zlib, c: (tool clang), none: null}, commands: [b], run: {network: false}, license: MIT, `+makesOut),
		"env.nu": "use lib/zlib.nu\nuse tool\n" + pkg("all", `packages: [$zlib $tool]`),
		"src/x":  "x",
	}
	a := pirs(t, files, "/work/a.nu")["a"]
	var names []string
	for name := range a.Packages {
		names = append(names, name)
	}
	slices.Sort(names)
	if got, want := strings.Join(names, " "), "clang++ tool wasi-libc zlib"; got != want {
		t.Errorf("got packages %q, want %q", got, want)
	}
	if d := cmp.Diff(nuon.Record{
		"nu": "{|b| print $shout; do $build $b }",
		"captures": nuon.Record{"shout": "A", "build": nuon.Record{
			"nu":       "{|b| ^clang++ ...$flags $zlib.version }",
			"captures": nuon.Record{"flags": nuon.List{"-O2"}, "zlib": nuon.Record{"version": "1.3"}},
		}},
	}, a.Build); d != "" {
		t.Errorf("build: -want +got:\n%s", d)
	}
	all := pirs(t, files, "/work/b.nu")
	b := all["b"]
	if len(b.Packages) != 2 || b.Packages["z"].IsZero() || b.Packages["c"].IsZero() || len(b.Src.Named) != 2 || b.Src.Named["lib"] != b.Packages["z"] {
		t.Errorf("got packages %v, src %v", b.Packages, b.Src)
	}
	if d := cmp.Diff(nuon.Record{"commands": nuon.List{"b"}, "network": false}, b.Run); d != "" {
		t.Errorf("run: -want +got:\n%s", d)
	}
	if d := cmp.Diff(nuon.Record{"license": "MIT"}, b.Policy); d != "" {
		t.Errorf("policy: -want +got:\n%s", d)
	}
	if env := pirs(t, files, "/work/env.nu")["all"]; env.Kind != pir.Env || len(env.Packages) != 2 {
		t.Errorf("got %+v, want an env of two packages", env)
	}
}

// TestText checks which changes of a text change the package.
func TestText(t *testing.T) {
	pid := func(lib, text string) pir.PID {
		t.Helper()
		res, err := eval(t, map[string]string{"lib.nu": lib, "a.nu": text}, "/work/a.nu")
		if err != nil {
			t.Fatal(err)
		}
		return res.Root
	}
	const lib = "const opt = [-O2]\nexport def flags [] { $opt }\n"
	const text = "use lib.nu\nexport def main [] {\n  let x = 1\n  derivation {name: a, version: \"1\", build: {|b|\n    print $x (lib flags)\n  }}\n}\n"
	base := pid(lib, text)
	for name, got := range map[string]pir.PID{
		"again":                  pid(lib, text),
		"comment outside":        pid(lib, "# comment\n"+text),
		"order of fields":        pid(lib, strings.Replace(text, "name: a, version: \"1\", build", "version: \"1\", name: a, build", 1)),
		"unused in the library":  pid(lib+"export def other [] { 2 }\n", text),
		"way to a value":         pid(lib, strings.Replace(text, "let x = 1", "let x = (3 - 2)", 1)),
		"null field":             pid(lib, strings.Replace(text, "name: a,", "name: a, license: null,", 1)),
		"constant, another name": pid(lib, "const y = 1\n"+text),
	} {
		if got != base {
			t.Errorf("%s: gives another package", name)
		}
	}
	for name, got := range map[string]pir.PID{
		"comment inside":      pid(lib, strings.Replace(text, "print $x", "# comment\n    print $x", 1)),
		"captured value":      pid(lib, strings.Replace(text, "let x = 1", "let x = 2", 1)),
		"constant of library": pid(strings.Replace(lib, "-O2", "-O3", 1), text),
		"library's command":   pid(strings.Replace(lib, "{ $opt }", "{ $opt  }", 1), text),
		"version":             pid(lib, strings.Replace(text, `"1"`, `"2"`, 1)),
	} {
		if got == base {
			t.Errorf("%s: gives the same package", name)
		}
	}
}

// TestWithEnvCaptures covers a bug of the first engine: it did not declare `with-env`, so the block was text and captured nothing.
func TestWithEnvCaptures(t *testing.T) {
	p := pirs(t, map[string]string{"a.nu": `export def main [] {
  let flags = [-O2]
  let dir = "x"
  let name = "y"
  derivation {name: a, version: "1", build: {|b|
    with-env {X: 1} { cd $dir; do { ^cc ...$flags }; if true { glob $"($name)/*" | each {|f| print $f } } }
  }}
}`}, "/work/a.nu")["a"]
	if d := cmp.Diff(nuon.Record{"dir": "x", "flags": nuon.List{"-O2"}, "name": "y"}, p.Build["captures"]); d != "" {
		t.Errorf("captures: -want +got:\n%s", d)
	}
}

// TestDiamonds evaluates a package set with 2^40 paths to the lowest package.
func TestDiamonds(t *testing.T) {
	files := map[string]string{"packages/d40/p40.nu": pkg("p40", makesOut)}
	for i := range 40 {
		next := i + 1
		files[fmt.Sprintf("packages/d%d/p%d.nu", i, i)] = fmt.Sprintf("use ../d%d/p%d.nu\nuse ../d%d/q%d.nu\n", next, next, next, next) +
			fmt.Sprintf("export def main [--x: int] { derivation {name: p%d, version: \"1\", packages: [(p%d) (q%d)], build: {|b| mkdir $b.out }} }\n", i, next, next)
		files[fmt.Sprintf("packages/d%d/q%d.nu", next, next)] = fmt.Sprintf("use ./p%d.nu\n", next) + pkg(fmt.Sprint("q", next), fmt.Sprintf("packages: [$p%d], %s", next, makesOut))
	}
	start := time.Now()
	res, err := eval(t, files, "/packages/d0/p0.nu")
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Packages) != 81 || len(res.Reads) != 81 {
		t.Errorf("got %d packages of %d files, want 81 of 81", len(res.Packages), len(res.Reads))
	}
	t.Logf("81 packages in %v", time.Since(start))
}

// TestArgs passes arguments that would be code if they were inserted into source text.
func TestArgs(t *testing.T) {
	files := map[string]string{"a.nu": `export def main [what: string = "none", ...rest: string, --flag (-f), --text: string, --count: int, --list: list<int>, --on: string] {
  derivation {name: a, data: {what: $what, rest: $rest, flag: $flag, text: $text, count: $count, list: $list}}
}`}
	for _, c := range []struct {
		args []string
		want nuon.Record
	}{
		{nil, nuon.Record{"what": "none", "rest": nuon.List{}, "flag": false}},
		{[]string{"--flag", "x"}, nuon.Record{"what": "x", "rest": nuon.List{}, "flag": true}},
		{[]string{"-f", "x", "y", "--", "--text"}, nuon.Record{"what": "x", "rest": nuon.List{"y", "--text"}, "flag": true}},
		{[]string{"--flag=false", "--text", "(^rm -rf /)", "--count=-3"}, nuon.Record{"what": "none", "rest": nuon.List{}, "flag": false, "text": "(^rm -rf /)", "count": int64(-3)}},
		{[]string{"--text=a=b", "$(x)", "\"; exit"}, nuon.Record{"what": "$(x)", "rest": nuon.List{"\"; exit"}, "flag": false, "text": "a=b"}},
		{[]string{"--list", "[1 2]", "--text", "", ""}, nuon.Record{"what": "", "rest": nuon.List{}, "flag": false, "text": "", "list": nuon.List{int64(1), int64(2)}}},
		{[]string{"--count", "1", "--count", "2"}, nuon.Record{"what": "none", "rest": nuon.List{}, "flag": false, "count": int64(2)}},
	} {
		got := pirs(t, files, "/work/a.nu", c.args...)["a"].Data
		if d := cmp.Diff(any(c.want), got); d != "" {
			t.Errorf("%q: -want +got:\n%s", c.args, d)
		}
	}
	for _, args := range [][]string{
		{"--nope"}, {"--count"}, {"--count", "x"}, {"--count", "1.5"}, {"--list", "[a]"}, {"--list", "(1)"}, {"--flag=maybe"}, {"-x"}, {"--text"},
	} {
		if _, err := eval(t, files, "/work/a.nu", args...); err == nil {
			t.Errorf("%q: got no error", args)
		} else if !strings.Contains(err.Error(), "usage: a [what] ...[rest] [-f|--flag]") {
			t.Errorf("%q: got error %q without usage", args, err)
		}
	}
}

// TestEnvironment checks that an evaluation sees nothing of the host or of the caller.
func TestEnvironment(t *testing.T) {
	t.Setenv("NUKA_CANARY", "seen")
	files := map[string]string{
		"b.nu": `export def main [] { derivation {name: b, data: ($env | reject config? | columns | sort)} }`,
		"a.nu": "use b.nu\nexport def main [] { with-env {LEAK: 1} { $env.OTHER = 2; b } }",
	}
	got := pirs(t, files, "/work/a.nu")["b"].Data
	for _, v := range got.(nuon.List) {
		if v != "PWD" && v != "ENV_CONVERSIONS" {
			t.Errorf("evaluation sees $env.%v", v)
		}
	}
}

// TestLayout checks that the layout of an environment reaches its PIR.
func TestLayout(t *testing.T) {
	files := map[string]string{
		"b.nu": `export def main [] { derivation {name: b, data: 1} }`,
		"a.nu": "use b.nu\nexport def main [] { derivation {name: a, packages: [(b)], layout: fhs-1} }",
	}
	if got := pirs(t, files, "/work/a.nu")["a"]; got.Kind != pir.Env || got.Layout != pir.LayoutFHS1 {
		t.Errorf("got the kind %s and the layout %q", got.Kind, got.Layout)
	}
}

func TestOrigins(t *testing.T) {
	const hash = "sha256-15d118bbf3771060e7311cc7bb0545b01d08a8b4a7de949198dec1fa0ca1c0f2"
	text := "export def main [] { derivation {name: a, version: \"1\", src: {\n"
	for i, c := range []string{
		"url https://example.org/a.tar.gz --strip 1", "url https://example.org/b.tar.gz --strip 1", "url https://example.org/b.tar.gz", "npm b 1 --strip 0",
		"url https://example.org/file.txt", "url https://example.org/file.txt --unpack archive",
		"git https://example.org/a.git --rev v1", "npm @scope/a 1.20", "pypi six 1.17.0 --file *.tar.gz", "crate libz-sys 1.1.20",
		"go golang.org/x/mod v0.41.0", "deb zlib1g 1:1.3 --arch amd64", "debsrc zlib 1:1.3 --file *.orig.tar.*",
		"debsrc zlib 1:1.4 --patches", "deb zlib1g 1:1.3 --arch amd64 --control --path pool/main/z/zlib/zlib1g_1.3_amd64.deb",
	} {
		text += fmt.Sprintf("  s%d: (fetch %s --hash %s)\n", i, c, hash)
	}
	res, err := eval(t, map[string]string{"a.nu": text + "}, " + makesOut + "} }"}, "/work/a.nu")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range res.Packages[:len(res.Packages)-1] {
		line := strings.TrimPrefix(string(p.Canonical), `{"hash":"`+hash+`","kind":"fetch","pir":1,`)
		for _, o := range p.Origins {
			line += " " + string(o)
		}
		got = append(got, line)
	}
	// The same bytes from several origins are one PIR. Archives of registries lose the top folder.
	want := []string{
		`"strip":1,"unpack":"archive"} {"kind":"url","url":"https://example.org/a.tar.gz"} {"kind":"url","url":"https://example.org/b.tar.gz"} {"kind":"npm","name":"@scope/a","version":"1.20"} {"file":"*.tar.gz","kind":"pypi","name":"six","version":"1.17.0"} {"kind":"crate","name":"libz-sys","version":"1.1.20"} {"file":"*.orig.tar.*","kind":"debsrc","name":"zlib","version":"1:1.3"} {"kind":"debsrc","name":"zlib","patches":"true","version":"1:1.4"}`,
		`"unpack":"archive"} {"kind":"url","url":"https://example.org/b.tar.gz"} {"kind":"npm","name":"b","version":"1"} {"kind":"url","url":"https://example.org/file.txt"} {"kind":"git","rev":"v1","url":"https://example.org/a.git"}`,
		`"unpack":"file"} {"kind":"url","url":"https://example.org/file.txt"}`,
		`"strip":3,"unpack":"archive"} {"kind":"go","name":"golang.org/x/mod","version":"v0.41.0"}`,
		`"unpack":"deb"} {"arch":"amd64","kind":"deb","name":"zlib1g","version":"1:1.3"}`,
		`"unpack":"deb-raw"} {"arch":"amd64","kind":"deb","name":"zlib1g","path":"pool/main/z/zlib/zlib1g_1.3_amd64.deb","version":"1:1.3"}`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestMissingHash(t *testing.T) {
	var asked *Missing
	_, err := testEngine(t, nil).Eval(t.Context(), &Request{
		Sets: sets(map[string]string{"a.nu": pkg("a", "src: (fetch npm is-odd 3.0.1 --strip 1), "+makesOut)}), File: "/work/a.nu",
		MissingHash: func(_ context.Context, m *Missing) (pir.Hash, error) {
			asked = m
			return pir.NewHash(pir.B3, make([]byte, 32)), nil
		},
	})
	if err == nil || !strings.Contains(err.Error(), "hint: add --hash b3-"+strings.Repeat("a", 52)) {
		t.Errorf("got error %v, want one that tells the hash", err)
	}
	want := &Missing{Origin: nuon.Record{"kind": "npm", "name": "is-odd", "version": "3.0.1"}, Unpack: pir.UnpackArchive, Strip: 1}
	if d := cmp.Diff(want, asked); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// TestDeterminism evaluates in several instances at once.
func TestDeterminism(t *testing.T) {
	files := map[string]string{"a.nu": `export def main [] {
  let many = (seq 1 200 | each {|i| {$"k($i)": ($i | into string | hash sha256)} } | into record)
  derivation {name: a, version: "1", build: {|b| print $many ($many | columns | group-by {|c| $c | str length }) }}
}`}
	e := testEngine(t, nil)
	var wg sync.WaitGroup
	results := make([]*Result, 8)
	for i := range results {
		wg.Go(func() {
			var err error
			if results[i], err = e.Eval(t.Context(), &Request{Sets: sets(files), File: "/work/a.nu"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, r := range results {
		if d := cmp.Diff(results[0], r, cmpopts.EquateComparable(cid.CID{})); d != "" {
			t.Errorf("-first +other:\n%s", d)
		}
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped by the test")
	time.AfterFunc(50*time.Millisecond, func() { cancel(stop) })
	_, err := testEngine(t, nil).Eval(ctx, &Request{Sets: sets(map[string]string{"a.nu": "export def main [] { loop {} }"}), File: "/work/a.nu"})
	if !errors.Is(err, stop) {
		t.Errorf("got error %v, want %v", err, stop)
	}
}
