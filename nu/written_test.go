package nu

import (
	"slices"
	"strings"
	"testing"
)

// TestPathBelongsToItsFile checks which file a path is relative to if a helper of a package set fetches it.
// Both files have a file r.nuon beside them.
func TestPathBelongsToItsFile(t *testing.T) {
	const (
		users   = "/work/sub/r.nuon"
		helpers = "/packages/lang/r.nuon"
	)
	record := "python app {recording: ./r.nuon}"
	for _, c := range []struct {
		name, params, source, call, want string // want is a path, or a part of the error
	}{
		{"record", "spec", "fetch path $spec.recording", record, users},
		{"record as flag", "--spec: record", "fetch path $spec.recording", "python app --spec {recording: ./r.nuon}", users},
		{"list in a record", "spec", "fetch path $spec.all.0.path", "python app {all: [{path: './r.nuon'}]}", users},
		{"double quotes", "spec", "fetch path $spec.recording", `python app {recording: "./\u{72}.nuon"}`, users},
		{"parameter", "path", "fetch path $path", "python app ./r.nuon", users},
		{"rest", "...paths", "fetch path $paths.0", "python app ./r.nuon", users},
		{"flag", "--path: string = ./r.nuon", "fetch path $path", "python app --path ./r.nuon", users},
		{"flag with =", "--path: string = ./r.nuon", "fetch path $path", "python app --path='./r.nuon'", users},
		{"default of a flag", "--path: string = ./r.nuon", "fetch path $path", "python app", helpers},
		{"default of a parameter", "path: string = './r.nuon'", "fetch path $path", "python app", helpers},
		{"let", "spec", "let p = $spec.recording; fetch path $p", record, users},
		{"let in the caller", "spec", "fetch path $spec.recording", "let spec = {recording: ./r.nuon}; let other = $spec; python app $other", users},
		{"constant in the caller", "spec", "fetch path $spec.recording", "python app $SPEC", users},
		{"parameter of a closure", "spec", "[$spec.recording] | each {|p| fetch path $p } | first", record, users},
		{"captured record", "spec", "do {|| fetch path $spec.recording }", record, users},
		{"get, default and merge", "spec", "let p = {recording: ./no} | merge $spec | get recording | default ./no; fetch path $p", record, users},
		{"default of a field", "spec", "let p = $spec.other? | default ./r.nuon; fetch path $p", record, helpers},
		{"two helpers", "spec", "def inner [s] { fetch path $s.recording }; inner $spec", record, users},
		// Nushell loses the place.
		{"let of let", "spec", "let p = $spec.recording; let q = $p; fetch path $q", record, helpers},
		{"captured text", "spec", "let p = $spec.recording; do {|| fetch path $p }", record, helpers},
		{"expression", "spec", "fetch path ($spec | get recording)", record, helpers},
		{"field of an expression", "spec", "fetch path ({...$spec, name: x}).recording", record, helpers},
		{"helper of a helper", "path", "def inner [p] { fetch path $p }; inner $path", "python app ./r.nuon", helpers},
		// Without ./ it is a text like any other.
		{"plain name", "spec", "fetch path $spec.recording", "python app {recording: r.nuon}", helpers},
		{"interpolated", "spec", `let p = $"($spec.recording)"; fetch path $p`, record, helpers},
		{"joined", "spec", "let p = $spec.recording | path join; fetch path $p", record, helpers},
		{"added", "spec", `let p = "." + ($spec.recording | str substring 1..); fetch path $p`, record, helpers},
		// A helper cannot make a path of the caller's.
		{"replaced", "spec", "let p = $spec.recording | path basename --replace secret; fetch path $p", record, "the path is computed in sub/a.nu"},
		{"folder of it", "spec", "let p = $spec.recording | path dirname; fetch path $p", record, "the path is computed in sub/a.nu"},
		{"first letter", "spec", "let p = $spec.recording | split chars | first; fetch path $p", record, "the path is computed in sub/a.nu"},
		{"part of it", "spec", "let p = $spec.recording | split row /no | first; fetch path $p", "python app {recording: ./secret/no}", "the path is computed in sub/a.nu"},
		{"computed by the caller", "spec", "fetch path $spec.recording", "let r = './r.nuon'; python app {recording: $r}", "python.nu:2:14: fetch path ./r.nuon: the path is computed"},
		// Each stays below the folder of its own set.
		{"out of the caller's folder", "spec", "fetch path $spec.recording", "python app {recording: ../../packages/lang/r.nuon}", `python.nu:2:14: fetch path ../../packages/lang/r.nuon: leaves the folder "."`},
		{"out of the helper's folder", "spec", "fetch path ../../work/sub/secret", record, `leaves the folder "/packages"`},
		{"returned", "", "'./r.nuon'", "let p = python app; fetch path $p", helpers},
		{"returned, used at once", "", "'./r.nuon'", "fetch path (python app)", users},
		{"returned, out of its folder", "", "'../../work/sub/secret'", "let p = python app; fetch path $p", `leaves the folder "/packages"`},
		{"missing", "spec", "fetch path $spec.recording", "python app {recording: ./none}", "python.nu:2:14: fetch path ./none: no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{
				"packages/lang/python.nu": "export def app [" + c.params + "] {\n  " + c.source + "\n}",
				"packages/lang/r.nuon":    "helper", "sub/r.nuon": "user", "sub/secret": "secret", "secret": "secret",
				"sub/a.nu": "use lang/python.nu\nconst SPEC = {recording: ./r.nuon}\n" +
					"export def main [] { derivation {name: a, build: {|b| mkdir $b.out }, src: (do {\n" + c.call + "\n}) } }",
			}
			res, err := eval(t, files, "/work/sub/a.nu")
			switch isPath := strings.HasPrefix(c.want, "/"); {
			case !isPath:
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
			case err != nil:
				t.Error(err)
			case len(res.Paths) != 1 || res.Paths[0].Virtual != c.want:
				t.Errorf("got %+v, want %s", res.Paths, c.want)
			}
		})
	}
}

// TestPathOfSameText checks that two files which give a package the same path get their own files.
func TestPathOfSameText(t *testing.T) {
	call := "use lang/app.nu\nexport def main [] { app --spec [{at: ./data}] }"
	res, err := eval(t, map[string]string{
		"packages/lang/app.nu": "export def main [--spec: list] { derivation {name: app, src: (fetch path $spec.0.at), build: {|b| mkdir $b.out }} }",
		"x/a.nu":               call, "x/data": "of x", "y/b.nu": call, "y/data": "of y",
		"all.nu": "use x/a.nu\nuse y/b.nu\nexport def main [] { derivation {name: all, packages: {a: (a), b: (b)}, build: {|b| mkdir $b.out }} }",
	}, "/work/all.nu")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range res.Paths {
		got = append(got, p.Virtual)
	}
	slices.Sort(got)
	if want := []string{"/work/x/data", "/work/y/data"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
