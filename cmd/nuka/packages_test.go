package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// inDocs writes docs/c-packages.md anew.
var inDocs = flag.Bool("docs", false, "write docs/c-packages.md")

// onlyPackages names the packages that TestPackages takes.
var onlyPackages = flag.String("packages", "", "test only these packages, `a,b`")

// sampleSize is how many packages TestPackages takes if it is not to take all.
const sampleSize = 12

// A cPackage is a row of testdata/packages.tsv: a package of C that its own configure script, makefile, meson.build or CMakeLists.txt builds, a script that runs its programs, and text that this
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

// TestPackages builds and runs the packages of C: NUKA_LONG=1 takes a sample, NUKA_PACKAGES_ALL=1 all, and -packages=a,b those of these names.
func TestPackages(t *testing.T) {
	all := os.Getenv("NUKA_PACKAGES_ALL") != ""
	if os.Getenv("NUKA_LONG") == "" && !all && *onlyPackages == "" {
		t.Skip("set NUKA_LONG=1, or NUKA_PACKAGES_ALL=1 for all: it needs the registries and hours")
	}
	home := os.Getenv("NUKA_PACKAGES_HOME") // so that one need not build everything again
	if home == "" {
		dir, err := os.MkdirTemp("", "n") //nolint:usetesting // short: the name of a socket has to fit
		if err != nil {
			t.Fatal(err)
		}
		home = dir
		t.Cleanup(func() { os.RemoveAll(dir) })
	}
	t.Cleanup(func() { stop(t, home) }) // its program goes with the test
	text, err := os.ReadFile(packagesPage)
	if err != nil {
		t.Fatal(err)
	}
	head, table, _ := strings.Cut(string(text), packagesHead)
	rows := packageRows(table)
	list := cPackages(t)
	for _, p := range chosenPackages(list, all) {
		row, err := p.check(t, home, rows[p.name])
		if err != nil {
			t.Errorf("%s: %v", p.name, err)
			continue
		}
		rows[p.name] = row
		t.Log(strings.TrimSpace(row.String()))
	}
	if !*inDocs || t.Failed() {
		return
	}
	table = packagesHead
	for _, p := range list {
		if row, ok := rows[p.name]; ok {
			table += row.String()
		}
	}
	if err := os.WriteFile(packagesPage, []byte(head+table), 0o644); err != nil {
		t.Fatal(err)
	}
}

// chosenPackages returns those that TestPackages takes: of these names, all, or a sample.
func chosenPackages(list []cPackage, all bool) []cPackage {
	var chosen []cPackage
	names := strings.Split(*onlyPackages, ",")
	step := max(1, len(list)/sampleSize)
	for i, p := range list {
		switch {
		case *onlyPackages != "" && !slices.Contains(names, p.name):
		case *onlyPackages == "" && !all && (i%step != 0 || i/step >= sampleSize):
		default:
			chosen = append(chosen, p)
		}
	}
	return chosen
}

// packagesPage has the table of the packages.
const packagesPage = "../../docs/c-packages.md"

// packagesHead is how the table begins.
const packagesHead = "| package | version | lines | its own tests | size | processor time |\n|---|---|---|---|---|---|\n"

// A packageRow is a row of the table. A build that is not done again took as long as the row before says.
type packageRow struct {
	name, version string
	lines         int
	tests, size   string
	took          string
}

func (r packageRow) String() string {
	return fmt.Sprintf("| %s | %s | %d | %s | %s | %s |\n", r.name, r.version, r.lines, r.tests, r.size, r.took)
}

// packageRows reads the table, by package.
func packageRows(table string) map[string]packageRow {
	rows := map[string]packageRow{}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 6 {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		lines, err := strconv.Atoi(cells[2])
		if err != nil {
			continue
		}
		rows[cells[0]] = packageRow{cells[0], cells[1], lines, cells[3], cells[4], cells[5]}
	}
	return rows
}

// processorTime finds how long the build of a package took in what `nuka build --verbose` prints.
func processorTime(text, name string) string {
	found := regexp.MustCompile(`(?m)built ` + regexp.QuoteMeta(name) + ` \(.*\n(?:(?:nuka:)?   *.*\n)*?(?:nuka:)?   *processor time (\S+)$`).FindStringSubmatch(text)
	if found == nil {
		return ""
	}
	took, err := time.ParseDuration(found[1])
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%.0f s", took.Seconds())
}

// check builds a package and runs its script, and returns its row of the table. before is the row that the table has, if any.
func (p *cPackage) check(t *testing.T, home string, before packageRow) (packageRow, error) {
	none := packageRow{}
	nuka := func(args ...string) (string, string, error) {
		c := exec.Command(filepath.Join(programs, "nuka"), args...)
		c.Env = append(os.Environ(), "NUKA_HOME="+home)
		c.Dir = t.TempDir()
		var out, errs bytes.Buffer
		c.Stdout, c.Stderr = &out, &errs
		if err := c.Run(); err != nil {
			return "", "", fmt.Errorf("nuka %s: %w\n%s%s", strings.Join(args, " "), err, out.String(), errs.String())
		}
		return out.String(), errs.String(), nil
	}
	text, progress, err := nuka("build", p.name, "--json", "--verbose")
	if err != nil {
		return none, err
	}
	var built struct {
		Outputs []struct {
			Name string
			Size int64
		}
	}
	if err := json.Unmarshal([]byte(text), &built); err != nil {
		return none, err
	}
	if p.script != "" {
		said, _, err := nuka("shell", p.name, "--", "sh", "-c", p.script)
		if err != nil {
			return none, err
		}
		if !strings.Contains(said, p.want) {
			return none, fmt.Errorf("%s: printed %q, want %q", p.script, said, p.want)
		}
	}
	source, err := os.ReadFile(p.file())
	if err != nil {
		return none, err
	}
	_, version, _ := strings.Cut(built.Outputs[0].Name, " ")
	tests := ""
	if regexp.MustCompile(`(?m)^\s+check:`).Match(source) {
		tests = "run in the build"
	}
	return packageRow{
		name: p.name, version: version, lines: bytes.Count(source, []byte("\n")), tests: tests,
		size: fmt.Sprintf("%.1f MB", float64(built.Outputs[0].Size)/1e6),
		took: cmp.Or(processorTime(progress, built.Outputs[0].Name), before.took),
	}, nil
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

// TestPackagesListed checks that the list has each package of the set that lib/autoconf.nu, lib/autoreconf.nu, lib/cmake.nu, lib/makefile.nu or lib/meson.nu builds, and that these are short.
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
			if regexp.MustCompile(`(?m)^  ((autoconf|autoreconf|cmake|makefile|meson) )?package \{$`).Match(text) && !listed[name] {
				t.Errorf("testdata/packages.tsv does not have %s", name)
			}
		}
	}
}

// TestProcessorTime reads how long a build took from what the command prints, to a terminal and into a pipe.
func TestProcessorTime(t *testing.T) {
	for _, prefix := range []string{"nuka: ", ""} {
		text := prefix + "built sh 1 (2s)\n" + prefix + "  processor time 1s\n" + prefix + "built hello 2.10 (25.2s)\n" + prefix + "  pid abc\n" + prefix + "  cid def\n" + prefix + "  processor time 21.6s\n"
		if got := processorTime(text, "hello 2.10"); got != "22 s" {
			t.Errorf("%q: got %q", prefix, got)
		}
		if got := processorTime(text, "hello 2"); got != "" {
			t.Errorf("%q: of another package: %q", prefix, got)
		}
	}
}
