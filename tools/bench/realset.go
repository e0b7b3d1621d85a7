package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/MordragT/nuka/packages"
)

// A shape is what a generated package does.
type shape int

const (
	plain    shape = iota // reads what its inputs wrote and writes eleven files
	sourced               // does the same, and reads a folder beside the package file
	programs              // does the same, and runs four programs at once
	merged                // has no build: the files of its inputs in one tree
	tool                  // is the program that others run: the deepest input of all
)

// A generated is a package of the generated graph.
type generated struct {
	name   string
	shape  shape
	inputs []string
}

// generatedPackages is the size of the generated graph, with the tool and without the root.
const generatedPackages = 200

// graph generates n packages, inputs first, and the same ones each time. Each depends on the first, directly or through others.
func graph(n int) []generated {
	random := rand.New(rand.NewPCG(12, 15)) //nolint:gosec // the same each time
	list := []generated{{name: "p000", shape: tool}}
	for i := 1; i < n; i++ {
		p := generated{name: fmt.Sprintf("p%03d", i)}
		switch {
		case i%20 == 5:
			p.shape = merged
		case i%20 == 10:
			p.shape = programs
			p.inputs = []string{"p000"}
		case i%10 == 3:
			p.shape = sourced
		}
		for range 1 + random.IntN(4) {
			if input := list[max(0, i-40)+random.IntN(min(i, 40))].name; !slices.Contains(p.inputs, input) {
				p.inputs = append(p.inputs, input)
			}
		}
		list = append(list, p)
	}
	return list
}

// tops returns the packages that no other depends on.
func tops(list []generated) (names []string) {
	used := map[string]bool{}
	for _, p := range list {
		for _, input := range p.inputs {
			used[input] = true
		}
	}
	for _, p := range list {
		if !used[p.name] {
			names = append(names, p.name)
		}
	}
	return names
}

// leafOf returns the last package with a plain build that no other depends on.
func leafOf(list []generated) (generated, error) {
	all := tops(list)
	for _, p := range slices.Backward(list) {
		if p.shape == plain && slices.Contains(all, p.name) {
			return p, nil
		}
	}
	return generated{}, errors.New("no package of the graph is a leaf")
}

// nushell is the package file for nuka. The comment changes the PID alone; the salt changes the content too.
func (p generated) nushell(comment, salt string) string {
	var uses, calls strings.Builder
	for _, input := range p.inputs {
		fmt.Fprintf(&uses, "use ./%s.nu\n", input)
		fmt.Fprintf(&calls, " (%s)", input)
	}
	head := fmt.Sprintf("%s\nexport def main [] {\n  derivation {\n    name: %s\n    version: \"1\"\n    packages: [%s]\n",
		uses.String(), p.name, strings.TrimSpace(calls.String()))
	source, more, run := "", "", ""
	switch p.shape {
	case merged:
		return head + "  }\n}\n"
	case tool:
		return head + fmt.Sprintf(`    src: (fetch path ./tool.wasm)
    build: {|b|
      # %s
      mkdir $"($b.out)/bin"
      cp $b.src $"($b.out)/bin/tool"
    }
  }
}
`, comment)
	case sourced:
		source = fmt.Sprintf("    src: (fetch path ./%s)\n", p.name)
		more = ` (glob $"($b.src)/*" | sort)`
	case programs:
		run = fmt.Sprintf("      1..4 | each {|n| [tool write $\"($b.out)/lib/%s/program($n)\" $\"($n) ($hash)\"] } | run-all | ignore\n", p.name)
	}
	return head + source + fmt.Sprintf(`    build: {|b|
      # %[2]s
      let files = ([...($b.packages | values | each {|dir| glob $"($dir)/share/*" | sort })%[3]s] | flatten)
      let hash = ([...($files | each {|f| open --raw $f }) "%[4]s"] | str join | hash sha256)
      mkdir $"($b.out)/share" $"($b.out)/lib/%[1]s"
      $"%[1]s ($hash)\n" | save $"($b.out)/share/%[1]s"
      for n in 1..9 { $"($n) ($hash)\n" | save $"($b.out)/lib/%[1]s/($n)" }
      $b.packages | values | str join "\n" | save $"($b.out)/lib/%[1]s/inputs"
%[5]s    }
  }
}
`, p.name, comment, more, salt, run)
}

// nix is the like derivation: the same inputs and as many files, written by /bin/sh and coreutils.
func (p generated) nix(comment, salt string) string {
	var inputs strings.Builder
	for _, input := range p.inputs {
		fmt.Fprintf(&inputs, " (import ./%s.nix)", input)
	}
	source, more, script := "", "", ""
	switch p.shape {
	case tool:
		source, script = "src = ./tool.sh;", "mkdir -p $out/bin; cp $src $out/bin/tool"
	case merged:
		script = "mkdir $out; for d in $inputs; do cp -rsf --no-preserve=mode $d/. $out/; done"
	case sourced:
		source, more = "src = ./"+p.name+";", "$src/*"
	case plain, programs:
	}
	if script == "" {
		script = fmt.Sprintf(`mkdir -p $out/share $out/lib/%[1]s
files=$(for d in $inputs; do ls -d $d/share/* 2>/dev/null || true; done)
hash=$({ cat $files %[2]s /dev/null; printf %%s "%[3]s"; } | sha256sum)
echo %[1]s $hash >$out/share/%[1]s
for n in 1 2 3 4 5 6 7 8 9; do echo $n $hash >$out/lib/%[1]s/$n; done
echo $inputs >$out/lib/%[1]s/inputs`, p.name, more, salt)
	}
	if p.shape == programs {
		script += fmt.Sprintf("\nfor n in 1 2 3 4; do sh ${import ./p000.nix}/bin/tool write $out/lib/%s/program$n \"$n $hash\" & done; wait", p.name)
	}
	return fmt.Sprintf(`derivation {
  name = "%s";
  system = builtins.currentSystem;
  builder = "/bin/sh";
  PATH = "/usr/bin:/bin";
  inputs = [%s ];
  %s
  args = [ "-ec" ''
# %s
%s
'' ];
}
`, p.name, inputs.String(), source, comment, script)
}

// write writes the package for nuka and for Nix.
func (p generated) write(dir, comment, salt string) error {
	return errors.Join(
		os.WriteFile(filepath.Join(dir, p.name+".nu"), []byte(p.nushell(comment, salt)), 0o644),
		os.WriteFile(filepath.Join(dir, p.name+".nix"), []byte(p.nix(comment, salt)), 0o644))
}

// generate writes the graph, and all.nu and all.nix, which merge it into one tree.
func generate(dir string, list []generated) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, p := range append(slices.Clone(list), generated{name: "all", shape: merged, inputs: tops(list)}) {
		if err := p.write(dir, "the first text", ""); err != nil {
			return err
		}
		if p.shape != sourced {
			continue
		}
		if err := os.MkdirAll(filepath.Join(dir, p.name), 0o755); err != nil {
			return err
		}
		for i := range 5 {
			if err := os.WriteFile(filepath.Join(dir, p.name, fmt.Sprint(i)), fmt.Appendf(nil, "%s %d\n", p.name, i), 0o644); err != nil {
				return err
			}
		}
	}
	wasm := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(dir, "tool.wasm"), "./cmd/nuka/testdata/tool") //nolint:gosec // the folder is ours
	wasm.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := wasm.CombinedOutput(); err != nil {
		return fmt.Errorf("build the tool: %w\n%s", err, out)
	}
	return os.WriteFile(filepath.Join(dir, "tool.sh"), []byte("printf %s \"$3\" >\"$2\"\n"), 0o644)
}

var (
	fetchCall  = regexp.MustCompile(`fetch (?:npm|crate|debsrc|deb|pypi|go|url|git) [^)\n]+`)
	versionSet = regexp.MustCompile(`export const version = ("[^"]+")`)
)

// realPackages writes the package set into dir/set, all.nu, which merges all its packages into one tree, and sources.nu, whose
// inputs are their sources. It returns the number of packages.
func realPackages(dir string) (int, error) {
	groups := map[string][]string{}
	var sources strings.Builder
	fetches := 0
	err := fs.WalkDir(packages.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(packages.FS, name)
		if err != nil {
			return err
		}
		at := filepath.Join(dir, "set", filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, b, 0o644)); err != nil {
			return err
		}
		text := string(b)
		if version := versionSet.FindStringSubmatch(text); version != nil {
			text = strings.ReplaceAll(text, "$version", version[1])
		}
		for _, call := range fetchCall.FindAllString(text, -1) {
			fmt.Fprintf(&sources, " s%d: (%s)", fetches, call)
			fetches++
		}
		if strings.Contains(text, "export def main") {
			groups[path.Dir(name)] = append(groups[path.Dir(name)], name)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	files, uses, roots, n := map[string]string{}, "", "", 0
	for _, folder := range slices.Sorted(maps.Keys(groups)) { // a program and its library may share a name, so each folder gets a file
		text, calls := "", ""
		for _, name := range groups[folder] {
			text += "use " + name + "\n"
			calls += " (" + strings.TrimSuffix(path.Base(name), ".nu") + ")"
		}
		files[folder+".nu"] = text + "export def main [] { [" + calls + " ] }\n"
		uses += "use ./" + folder + ".nu\n"
		roots += " ...(" + folder + ")"
		n += len(groups[folder])
	}
	files["all.nu"] = uses + "export def main [] { derivation {name: all, packages: [" + roots + " ]} }\n"
	files["sources.nu"] = "export def main [] {\n  derivation {name: sources, src: {" + sources.String() + " }, build: {|b| \"\" | save $\"($b.out)/made\" }}\n}\n"
	for name, text := range files {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return n, err
}
