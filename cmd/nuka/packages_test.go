package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// inDocs writes docs/c-packages.md anew.
var inDocs = flag.Bool("docs", false, "write docs/c-packages.md")

// sampleSize is how many packages TestPackages takes if it is not to take all.
const sampleSize = 12

// A cPackage is a row of testdata/packages.tsv: a package of C that its own configure script or makefile builds, a script that runs its programs, and text that this
// prints. A library has no script.
type cPackage struct{ name, script, want string }

func cPackages(t *testing.T) []cPackage {
	t.Helper()
	text, err := os.ReadFile("testdata/packages.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var list []cPackage
	for line := range strings.Lines(string(text)) {
		fields := append(strings.Split(strings.TrimSuffix(line, "\n"), "\t"), "", "")
		list = append(list, cPackage{fields[0], fields[1], fields[2]})
	}
	return list
}

// TestPackages builds and runs the packages of C out of their Debian sources: NUKA_LONG=1 takes a sample, NUKA_PACKAGES_ALL=1 all.
func TestPackages(t *testing.T) {
	all := os.Getenv("NUKA_PACKAGES_ALL") != ""
	if os.Getenv("NUKA_LONG") == "" && !all {
		t.Skip("set NUKA_LONG=1, or NUKA_PACKAGES_ALL=1 for all: it needs the registries and hours")
	}
	home := os.Getenv("NUKA_PACKAGES_HOME") // so that one need not build everything again
	if home == "" {
		dir, err := os.MkdirTemp("", "n") //nolint:usetesting // short: the name of a socket has to fit
		if err != nil {
			t.Fatal(err)
		}
		home = dir
		t.Cleanup(func() {
			stop(t, dir)
			os.RemoveAll(dir)
		})
	}
	list := cPackages(t)
	step := max(1, len(list)/sampleSize)
	rows := "| package | version | lines | its own tests | size |\n|---|---|---|---|---|\n"
	for i, p := range list {
		if !all && (i%step != 0 || i/step >= sampleSize) {
			continue
		}
		row, err := p.check(t, home)
		if err != nil {
			t.Errorf("%s: %v", p.name, err)
			continue
		}
		rows += row
	}
	if !*inDocs || t.Failed() {
		return
	}
	const page = "../../docs/c-packages.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), "| package |")
	if err := os.WriteFile(page, []byte(head+rows), 0o644); err != nil {
		t.Fatal(err)
	}
}

// check builds a package and runs its script, and returns its row of the table.
func (p *cPackage) check(t *testing.T, home string) (string, error) {
	nuka := func(args ...string) (string, error) {
		c := exec.Command(filepath.Join(programs, "nuka"), args...)
		c.Env = append(os.Environ(), "NUKA_HOME="+home)
		c.Dir = t.TempDir()
		var out, errs bytes.Buffer
		c.Stdout, c.Stderr = &out, &errs
		if err := c.Run(); err != nil {
			return "", fmt.Errorf("nuka %s: %w\n%s%s", strings.Join(args, " "), err, out.String(), errs.String())
		}
		return out.String(), nil
	}
	text, err := nuka("build", p.name, "--json")
	if err != nil {
		return "", err
	}
	var built struct {
		Outputs []struct {
			Name string
			Size int64
		}
	}
	if err := json.Unmarshal([]byte(text), &built); err != nil {
		return "", err
	}
	if p.script != "" {
		said, err := nuka("shell", p.name, "--", "sh", "-c", p.script)
		if err != nil {
			return "", err
		}
		if !strings.Contains(said, p.want) {
			return "", fmt.Errorf("%s: printed %q, want %q", p.script, said, p.want)
		}
	}
	source, err := os.ReadFile(p.file())
	if err != nil {
		return "", err
	}
	_, version, _ := strings.Cut(built.Outputs[0].Name, " ")
	tests := ""
	if regexp.MustCompile(`(?m)^\s+check:`).Match(source) {
		tests = "run in the build"
	}
	return fmt.Sprintf("| %s | %s | %d | %s | %.1f MB |\n", p.name, version, bytes.Count(source, []byte("\n")), tests, float64(built.Outputs[0].Size)/1e6), nil
}

// file returns the package's file in the set.
func (p *cPackage) file() string {
	for _, folder := range []string{"app", "lib", "toolchain"} {
		if at := filepath.Join("../../packages", folder, p.name+".nu"); fileExists(at) {
			return at
		}
	}
	return p.name + ".nu"
}

func fileExists(at string) bool {
	_, err := os.Stat(at)
	return err == nil
}

// TestPackagesListed checks that the list has each package of the set that lib/autoconf.nu or lib/makefile.nu builds, and that these are short.
func TestPackagesListed(t *testing.T) {
	listed := map[string]bool{}
	for _, p := range cPackages(t) {
		listed[p.name] = true
		if !fileExists(p.file()) {
			t.Errorf("testdata/packages.tsv has %s, which the set has not", p.name)
		}
	}
	for _, folder := range []string{"app", "lib"} {
		files, err := filepath.Glob(filepath.Join("../../packages", folder, "*.nu"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name := strings.TrimSuffix(filepath.Base(file), ".nu")
			if regexp.MustCompile(`(?m)^  (autoconf|makefile) package \{$`).Match(text) && !listed[name] {
				t.Errorf("testdata/packages.tsv does not have %s", name)
			}
		}
	}
}
