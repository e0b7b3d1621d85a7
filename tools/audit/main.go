// Audit looks at the two programs as they were built: it compares the modules that are linked into them with the list in
// modules.txt, and asks govulncheck which of their known vulnerabilities have a fixed version.
//
// The vulnerability data are those of a module of the Go proxy, so that nothing but a registry is needed. `make audit` runs it.
package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	vulndb      = "golang.org/x/vulndb@v0.0.0-20261105234957-e22db6528018"
	govulncheck = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"
	listName    = "tools/audit/modules.txt"
)

func main() {
	update := flag.Bool("update", false, "write "+listName+" anew")
	flag.Parse()
	if err := run(flag.Args(), *update); err != nil {
		fmt.Fprintln(os.Stderr, "audit:", err)
		os.Exit(1)
	}
}

func run(programs []string, update bool) error {
	if len(programs) == 0 {
		return errors.New("usage: audit [-update] PROGRAM...")
	}
	return errors.Join(compareModules(programs, update), vulnerabilities(programs))
}

// compareModules compares what is linked into the programs with the list that is checked in, so that growth is seen in review.
func compareModules(programs []string, update bool) error {
	var list strings.Builder
	for _, program := range programs {
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			return err
		}
		var lines []string
		for _, d := range info.Deps {
			for d.Replace != nil {
				d = d.Replace
			}
			lines = append(lines, "  "+d.Path+" "+d.Version)
		}
		slices.Sort(lines)
		fmt.Fprintf(&list, "%s: %d modules\n%s\n", filepath.Base(program), len(lines), strings.Join(lines, "\n"))
	}
	if update {
		return os.WriteFile(listName, []byte(list.String()), 0o644)
	}
	want, err := os.ReadFile(listName)
	if err != nil {
		return err
	}
	if string(want) == list.String() {
		fmt.Printf("the modules are those of %s\n", listName)
		return nil
	}
	old, now := strings.Split(string(want), "\n"), strings.Split(list.String(), "\n")
	var diff []string
	for _, l := range now {
		if !slices.Contains(old, l) {
			diff = append(diff, "+ "+strings.TrimSpace(l))
		}
	}
	for _, l := range old {
		if !slices.Contains(now, l) {
			diff = append(diff, "- "+strings.TrimSpace(l))
		}
	}
	return fmt.Errorf("other modules are linked than %s says; look at them, then run: make audit-update\n%s", listName, strings.Join(diff, "\n"))
}

// A finding is what govulncheck says of one program. Its trace begins with the vulnerable module.
type finding struct {
	OSV   string `json:"osv"`
	Fixed string `json:"fixed_version"`
	Trace []struct {
		Module  string `json:"module"`
		Version string `json:"version"`
		Package string `json:"package"`
	} `json:"trace"`
}

// vulnerabilities prints what is known of the programs. It is an error that something has a fixed version and its code is linked.
func vulnerabilities(programs []string) error {
	dir, err := os.MkdirTemp("", "vulndb-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := makeDatabase(dir); err != nil {
		return fmt.Errorf("vulnerability data: %w", err)
	}
	var bad, open []string
	for _, program := range programs {
		c := exec.Command("go", "run", govulncheck, "-mode=binary", "-format=json", "-db=file://"+dir, program)
		c.Stderr = os.Stderr
		out, err := c.Output()
		if err != nil {
			return fmt.Errorf("govulncheck %s: %w", program, err)
		}
		findings, err := readFindings(out)
		if err != nil {
			return fmt.Errorf("govulncheck %s: %w", program, err)
		}
		for _, f := range findings {
			at := f.Trace[0]
			line := fmt.Sprintf("%s: %s in %s %s", filepath.Base(program), f.OSV, at.Package, at.Version)
			if f.Fixed == "" {
				open = append(open, fmt.Sprintf("%s: %s in %s %s: no version fixes it", filepath.Base(program), f.OSV, at.Module, at.Version))
				continue
			}
			bad = append(bad, line+": fixed in "+f.Fixed)
		}
	}
	slices.Sort(open)
	for _, line := range slices.Compact(open) {
		fmt.Println(line)
	}
	slices.Sort(bad)
	if bad = slices.Compact(bad); len(bad) > 0 {
		return fmt.Errorf("linked code has known vulnerabilities that another version fixes:\n%s", strings.Join(bad, "\n"))
	}
	fmt.Println("no linked code has a known vulnerability that another version fixes")
	return nil
}

// readFindings returns one finding for each vulnerability and package that is linked. A module of which only other packages are
// vulnerable is left out.
func readFindings(out []byte) ([]finding, error) {
	var all []finding
	seen := map[string]bool{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var message struct {
			Finding *finding `json:"finding"`
		}
		err := d.Decode(&message)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		f := message.Finding
		if f == nil || len(f.Trace) == 0 || f.Trace[0].Package == "" {
			continue
		}
		if key := f.OSV + f.Trace[0].Package; !seen[key] {
			seen[key] = true
			all = append(all, *f)
		}
	}
}

// An entry is what the index needs of an OSV record.
type entry struct {
	ID       string    `json:"id"`
	Modified time.Time `json:"modified"`
	Aliases  []string  `json:"aliases"`
	Affected []struct {
		Package struct {
			Name string `json:"name"`
		} `json:"package"`
		Ranges []struct {
			Events []struct {
				Fixed string `json:"fixed"`
			} `json:"events"`
		} `json:"ranges"`
	} `json:"affected"`
}

// makeDatabase lays the records of the vulndb module out as govulncheck reads them (https://go.dev/doc/security/vuln/database).
func makeDatabase(dir string) error {
	out, err := exec.Command("go", "mod", "download", "-json", vulndb).Output()
	if err != nil {
		return err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return err
	}
	records, err := filepath.Glob(filepath.Join(module.Dir, "data", "osv", "*.json"))
	if err != nil || len(records) < 1000 {
		return fmt.Errorf("%d records in %s (%w)", len(records), module.Dir, err)
	}
	type vuln struct {
		ID       string    `json:"id"`
		Modified time.Time `json:"modified"`
		Fixed    string    `json:"fixed,omitempty"`
	}
	type mod struct {
		Path  string `json:"path"`
		Vulns []vuln `json:"vulns"`
	}
	type id struct {
		ID       string    `json:"id"`
		Modified time.Time `json:"modified"`
		Aliases  []string  `json:"aliases,omitempty"`
	}
	byModule := map[string][]vuln{}
	var ids []id
	for _, d := range []string{"index", "ID"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	for _, path := range records {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var e entry
		if err := json.Unmarshal(b, &e); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		ids = append(ids, id{e.ID, e.Modified, e.Aliases})
		for _, a := range e.Affected {
			v := vuln{ID: e.ID, Modified: e.Modified}
			for _, r := range a.Ranges {
				for _, event := range r.Events {
					if event.Fixed != "" {
						v.Fixed = event.Fixed // the last one
					}
				}
			}
			byModule[a.Package.Name] = append(byModule[a.Package.Name], v)
		}
		if err := os.WriteFile(filepath.Join(dir, "ID", e.ID+".json"), b, 0o644); err != nil {
			return err
		}
	}
	var modules []mod
	for path, vulns := range byModule {
		modules = append(modules, mod{path, vulns})
	}
	slices.SortFunc(modules, func(a, b mod) int { return strings.Compare(a.Path, b.Path) })
	for name, v := range map[string]any{"db": map[string]time.Time{"modified": {}}, "modules": modules, "vulns": ids} {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "index", name+".json"), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}
