package nu

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/MordragT/nuka/packages"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/source"
)

// evalUnknown evaluates a file and returns how many closures the embedded Nushell parsed on their own, because it was not sure that they
// stand without their file. With doubt it parses each one, and says of those that it was sure about if they do not stand.
func evalUnknown(t *testing.T, mounts []Mount, file string, doubt bool) (int, error) {
	t.Helper()
	e := testEngine(t, nil)
	set, err := newFileSet(mounts)
	if err != nil {
		t.Fatal(err)
	}
	s := &session{
		req: &Request{Sets: mounts, File: file}, files: set, kinds: source.Table(), reader: newPathReader(e.stats()),
		index: map[pir.PID]int{}, fetched: map[pathCall]described{},
	}
	a, err := e.call(t.Context(), map[string]any{"op": "eval", "file": file, "args": []string{}, "doubt": doubt}, s.host)
	if err != nil {
		return 0, err
	}
	return a.Unknown, nil
}

// TestStandsOnItsOwn checks that the embedded Nushell is sure about common closures, and finds each one that does not stand without its file,
// with and without the second parse.
func TestStandsOnItsOwn(t *testing.T) {
	const derivation = "derivation {name: a, version: '1', build: "
	for _, c := range []struct {
		name, top, main, closure string
		known                    bool
		want                     string // a part of the error; empty if there is none
	}{
		{name: "plain", closure: "{|b| mkdir $b.out; 1 | save ($b.out | path join f) }", known: true},
		{name: "captures", top: "const c = 1", main: "let l = [1]; let f = {|x| $x + $c };", closure: "{|b| for i in $l { print (do $f $i) $c $'($l)' } }", known: true},
		{name: "record of captures", main: "let r = {a: {b: 1}};", closure: "{|b| print $r.a.b ...[$r] {...$r} $r.x? }", known: true},
		{name: "locals", closure: "{|b| let x = 1; mut y = $x; $y += 1; [$y] | each {|x| $x } | where $it > 1 | where ($it | is-empty) }", known: true},
		{name: "shadow", main: "let x = 1;", closure: "{|b| print $x; let x = 2; print $x; do {|x| print $x } 3 }", known: true},
		{name: "pipeline input", closure: "{|b| [1] | each { print $in }; 1 | print ($in + 1) }", known: true},
		{name: "control", closure: "{|b| if true { ^a } else { ^b }; try { ^c } catch {|e| print $e.msg }; loop { break }; while false { continue }; return 1 }", known: true},
		{name: "environment", closure: "{|b| $env.X = 1; with-env {Y: 2} { ^a o> $'($b.out)/f' }; cd $b.out; print $env.PWD }", known: true},
		{name: "command", top: "const c = 1\ndef help-me [x: int = 2, ...rest, --flag: string = 'a'] { print $x $rest $flag $c; other }\ndef other [] { print 1 }",
			closure: "{|b| help-me 1 a --flag x }", known: true},
		{name: "command with environment", top: "def --env enter [dir] { cd $dir }\ndef --wrapped tool [...rest] { ^tool ...$rest }", closure: "{|b| enter /; tool --x -y }", known: true},
		{name: "command of a module", top: "use c.nu", closure: "{|b| c compile 1; c link; print $c.v }", known: true},
		{name: "two of a name", main: "let x = 1; let f = {|| $x }; let x = 2;", closure: "{|b| print $x (do $f) }", known: true},
		{name: "command that calls itself", top: "def down [n] { if $n > 0 { down ($n - 1) } }", closure: "{|b| down 3 }", known: true},
		// Not sure, but right.
		{name: "no parameters", closure: "{ ^true }"},
		{name: "own command", closure: "{|b| def mine [] { 1 }; mine }"},
		{name: "own module", closure: "{|b| module m { export def f [] { 1 } }; use m; m f }"},
		{name: "match", closure: "{|b| match $b.name { 'a' => 1, _ => 2 } }"},
		{name: "default of a parameter", closure: "{|b, c = 1| print $c }"},
		{name: "default of an inner closure", closure: "{|b| do {|c = 1| print $c } }"},
		{name: "constant of a constant", top: "const c = 1", closure: "{|b| const d = $c; print $d }"},
		{name: "name of Nushell", top: "def mkdir [x] { print $x }", closure: "{|b| mkdir a }"},
		{name: "name below one of Nushell", top: "def 'path twice' [x] { print $x }", closure: "{|b| path twice a }"},
		{name: "name in a name", top: "def a [x?] { 1 }\ndef 'a b' [] { 2 }", closure: "{|b| a c; a b }"},
		{name: "strange name", top: "def 'a!' [] { 1 }", closure: "{|b| a! }"},
		// Wrong.
		{name: "misspelt command", closure: "{|b| mkdirr $b.out }", want: "a.nu:4:6: unknown command `mkdirr`"},
		{name: "misspelt command in a command", top: "def f [] { mkdirr a }", closure: "{|b| f }", want: "a.nu:1:12: unknown command `mkdirr`"},
		{name: "unknown variable", closure: "{|b| print $c }", want: "a.nu:4:12: "},
		{name: "variable that is captured too late", closure: "{|b| print $c; let c = 1 }", want: "a.nu:4:12: "},
		{name: "flag that is not there", closure: "{|b| mkdir --nope $b.out }", want: "a.nu:4:12: "},
		{name: "flag of a command that is not there", top: "def f [] { 1 }", closure: "{|b| f --nope }", want: "a.nu:4:8: "},
		{name: "constant as default", top: "const c = 1", closure: "{|b, d = $c| print $d }", want: "a.nu:4:10: "},
		{name: "constant as default of an inner closure", top: "const c = 1", closure: "{|b| do {|d = $c| print $d } }", want: "a.nu:4:15: "},
		{name: "constant as default of a command", top: "const c = 1\ndef f [d = $c] { $d }", closure: "{|b| f }", want: "does not stand on its own"},
		{name: "module of the file", top: "module m { export def f [] { 1 } }", closure: "{|b| use m; m f }", want: "a.nu:4:10: "},
		{name: "guard", main: "let limit = 1;", closure: "{|b| match 2 { $x if $x > $limit => 1, _ => 2 } }", want: "a.nu:4:27: "},
		{name: "changed variable", main: "mut x = 1;", closure: "{|b| print $x }", want: "a.nu:4:12: "},
		{name: "circle", top: "def f [] { g }\ndef g [] { f }", closure: "{|b| f }", want: "call each other in a circle"},
		{name: "package", closure: "{|b| let x = p; 1 }", want: "`p` is a package"},
	} {
		t.Run(c.name, func(t *testing.T) {
			top := c.top
			if c.want == "" || !strings.Contains(c.want, "a.nu:1:") {
				top = strings.ReplaceAll(top, "\n", "; ") // one line
			}
			files := sets(map[string]string{
				"a.nu": top + "\nuse p.nu\nexport def main [] { " + c.main + " " + derivation + "\n" + c.closure + "\n} }",
				"c.nu": "export const v = 1; export def compile [x] { print $x $v }; export def link [] {}",
				"p.nu": "export def main [] { " + derivation + "{|b| 1 } } }",
			})
			for _, doubt := range []bool{false, true} {
				unknown, err := evalUnknown(t, files, "/work/a.nu", doubt)
				switch {
				case c.want != "":
					if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "known to stand") {
						t.Errorf("doubt %v: got %v, want %q", doubt, err, c.want)
					}
				case err != nil:
					t.Errorf("doubt %v: %v", doubt, err)
				case c.known != (unknown == 0):
					t.Errorf("doubt %v: %d closures were parsed on their own", doubt, unknown)
				}
			}
		})
	}
}

// TestPackagesStandOnTheirOwn parses each closure of the package set on its own.
func TestPackagesStandOnTheirOwn(t *testing.T) {
	mounts := []Mount{{Path: "/packages", FS: packages.FS, Library: true}}
	files, unknown := 0, 0
	err := fs.WalkDir(packages.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".nu") {
			return err
		}
		n, err := evalUnknown(t, mounts, "/packages/"+name, true)
		var faults *Error
		if err != nil && (!errors.As(err, &faults) || strings.Contains(err.Error(), "stand")) {
			t.Errorf("%s: %v", name, err)
		}
		files, unknown = files+1, unknown+n
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files, %d closures that were parsed twice", files, unknown)
}
