package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	auditParts    = 400     // parts of the package that is audited
	auditEach     = 8       // every so many parts one has a vulnerability
	auditRecords  = 5_000   // records of each ecosystem, about other packages
	auditChanges  = 50      // records that an update changes
	auditNoNews   = 4 << 10 // bytes of an update without news, at most
	auditSmall    = 200 << 10
	auditWall     = 60 * time.Millisecond
	auditMemory   = 60 << 20
	auditTimes    = 10                                    // by how much nuka should be faster than uv
	auditProgram  = `"$@" >/dev/null 2>&1; test $? -le 1` // findings are an exit code of 1
	auditUVParts  = "pyproject.toml"
	auditUVLocked = "uv.lock"
)

// auditSystems are the ecosystems of the parts, as OSV names them, and a version of each.
var auditSystems = [][2]string{{"PyPI", "1.0.0"}, {"npm", "1.0.0"}, {"crates" + ".io", "1.0.0"}, {"Go", "v1.0.0"}, {"Debian", "1.0.0-1"}}

// An auditRecord is a record of OSV.
type auditRecord struct {
	ID       string           `json:"id"`
	Modified string           `json:"modified"`
	Summary  string           `json:"summary"`
	Affected []map[string]any `json:"affected"`
}

func newAuditRecord(id, ecosystem, name, fixed string) auditRecord {
	kind := "ECOSYSTEM"
	if ecosystem != "PyPI" && ecosystem != "Debian" {
		kind = "SEMVER"
	}
	return auditRecord{id, "2026-01-01T00:00:00Z", "a record of the benchmark about " + name, []map[string]any{{
		"package": map[string]string{"ecosystem": ecosystem, "name": name},
		"ranges":  []map[string]any{{"type": kind, "events": []map[string]string{{"introduced": "0"}, {"fixed": fixed}}}},
	}}}
}

// audit measures an audit of a package of many parts of several ecosystems, beside uv audit of as many Python packages with the same records behind a service on loopback; and updates
// of a feed.
func (b *bench) audit() error {
	home, osv := filepath.Join(b.dir, "audit"), filepath.Join(b.dir, "osv")
	defer b.stop(home) //nolint:errcheck // the folder goes anyway
	if err := os.MkdirAll(osv, 0o755); err != nil {
		return err
	}
	records, err := auditData(osv)
	if err != nil {
		return err
	}
	var parts strings.Builder
	for i := range auditParts {
		s := auditSystems[i%len(auditSystems)]
		fmt.Fprintf(&parts, " {ecosystem: %q, name: p%d, version: %q}", s[0], i, s[1])
	}
	file := filepath.Join(b.dir, "audited.nu")
	text := "export def main [] {\n  derivation {name: audited, version: \"1\", parts: [" + parts.String() + "], build: {|b| \"x\" | save $\"($b.out)/x\" }}\n}\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	for _, args := range [][]string{{"install", file}, {"advisories", "subscribe", osv}} {
		if _, err := b.inHome(home, args...).measure(); err != nil {
			return err
		}
	}
	ours := b.inHome(home, "audit", "--offline")
	ours.args = append([]string{"sh", "-c", auditProgram, "sh"}, ours.args...)
	tasks := []task{ours}
	if b.python != "" {
		address, stop, err := auditService(records)
		if err != nil {
			return err
		}
		defer stop()
		uv, err := b.uvAudit(address)
		if err != nil {
			return err
		}
		tasks = append(tasks, uv)
	}
	for _, t := range tasks { // once: caches
		if _, err := t.measure(); err != nil {
			return err
		}
	}
	all, err := inTurn(4*b.rounds, tasks, nil)
	if err != nil {
		return err
	}
	took, used := wall(all[0]), median(all[0], func(s sample) int64 { return s.memory }, compareInt)
	what := fmt.Sprintf("audit of %d parts", auditParts)
	b.table.add(what, round(took), "", "", "", "≤ "+auditWall.String(), met(took <= auditWall), memory(all[0]), "")
	b.table.add(what+", memory", memory(all[0]), "", "", "", fmt.Sprintf("≤ %d MiB", auditMemory>>20), met(used <= auditMemory), "", "")
	if len(all) > 1 {
		ratio := float64(took) / float64(wall(all[1]))
		b.table.add(what, round(took), "uv audit, a service on loopback", round(wall(all[1])), fmt.Sprintf("%.3f×", ratio), fmt.Sprintf("≤ 1/%d", auditTimes), met(ratio <= 1.0/auditTimes),
			memory(all[0]), memory(all[1]))
	}
	return b.feedUpdates(home, osv)
}

func compareInt(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// auditData writes the records: one about every eighth part, and many about packages that nobody has. It returns those about Python packages.
func auditData(dir string) (map[string]auditRecord, error) {
	python := map[string]auditRecord{}
	write := func(r auditRecord) error {
		text, err := json.Marshal(r)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, r.ID+".json"), text, 0o644)
	}
	for i := 0; i < auditParts; i += auditEach {
		s := auditSystems[i%len(auditSystems)]
		if err := write(newAuditRecord(fmt.Sprintf("FOUND-%d", i), s[0], fmt.Sprintf("p%d", i), "9.0.0")); err != nil {
			return nil, err
		}
		python[fmt.Sprintf("p%d", i)] = newAuditRecord(fmt.Sprintf("FOUND-%d", i), "PyPI", fmt.Sprintf("p%d", i), "9.0.0") // all of uv's packages are Python's
	}
	for _, s := range auditSystems {
		for i := range auditRecords {
			if err := write(newAuditRecord(fmt.Sprintf("OTHER-%s-%d", s[0], i), s[0], fmt.Sprintf("other%d", i), "2.0.0")); err != nil {
				return nil, err
			}
		}
	}
	return python, nil
}

// auditService answers as the service of OSV does, and as a Python index, on loopback.
func auditService(records map[string]auditRecord) (address string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	byID := map[string]auditRecord{}
	for _, r := range records {
		byID[r.ID] = r
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/querybatch", func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Queries []struct {
				Package struct{ Name, Purl string } `json:"package"`
			} `json:"queries"`
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		results := make([]map[string]any, len(asked.Queries))
		for i, q := range asked.Queries {
			results[i] = map[string]any{}
			if one, ok := records[q.Package.Name]; ok {
				results[i]["vulns"] = []map[string]string{{"id": one.ID, "modified": one.Modified}}
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"results": results}) // the client has gone
	})
	mux.HandleFunc("GET /v1/vulns/{id}", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(byID[r.PathValue("id")]) // the client has gone
	})
	mux.HandleFunc("GET /simple/{name}/", func(w http.ResponseWriter, r *http.Request) { // uv audit asks the index for the status of each project
		w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
		_ = json.NewEncoder(w).Encode(map[string]any{"meta": map[string]string{"api-version": "1.1"}, "name": r.PathValue("name"), "files": []any{}, "versions": []string{"1.0.0"}}) // the client has gone
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go server.Serve(listener) //nolint:errcheck // stop ends it
	return "http://" + listener.Addr().String(), func() { _ = server.Close() }, nil
}

// uvAudit returns the task of uv audit for a project of as many packages.
func (b *bench) uvAudit(address string) (task, error) {
	dir := filepath.Join(b.dir, "uv")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return task{}, err
	}
	var deps, wants, names, locked strings.Builder
	for i := range auditParts {
		fmt.Fprintf(&deps, "%q, ", fmt.Sprintf("p%d==1.0.0", i))
		fmt.Fprintf(&names, "    { name = \"p%d\" },\n", i)
		fmt.Fprintf(&wants, "{ name = \"p%d\", specifier = \"==1.0.0\" }, ", i)
		fmt.Fprintf(&locked, "[[package]]\nname = \"p%d\"\nversion = \"1.0.0\"\nsource = { registry = \"%s/simple\" }\nsdist = { url = \"%s/p%d-1.0.0.tar.gz\", hash = \"sha256:%064d\" }\n\n", i, address, address, i, i)
	}
	project := "[project]\nname = \"proj\"\nversion = \"0.1.0\"\nrequires-python = \">=3.11\"\ndependencies = [" + deps.String() + "]\n"
	lock := "version = 1\nrevision = 3\nrequires-python = \">=3.11\"\n\n[[package]]\nname = \"proj\"\nversion = \"0.1.0\"\nsource = { virtual = \".\" }\ndependencies = [\n" + names.String() +
		"]\n\n[package.metadata]\nrequires-dist = [" + wants.String() + "]\n\n" + locked.String()
	for name, text := range map[string]string{auditUVParts: project, auditUVLocked: lock} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return task{}, err
		}
	}
	uv := filepath.Join(b.python, "bin", "uv")
	return task{
		args: []string{"sh", "-c", auditProgram, "sh", uv, "audit", "--frozen", "--service-url", address + "/"}, dir: dir, env: []string{"UV_CACHE_DIR=" + filepath.Join(b.dir, "uv-cache")},
	}, nil
}

// feedUpdates measures what updates of a signed feed get: without news, and with some records changed.
func (b *bench) feedUpdates(home, osv string) error {
	made := filepath.Join(b.dir, "feed")
	type updated struct {
		Bytes int64 `json:"bytes"`
		Got   int   `json:"got"`
	}
	key, err := b.inHome(home, "advisories", "key").measure()
	if err != nil {
		return err
	}
	run := func(args ...string) (updated, error) {
		s, err := b.inHome(home, append([]string{"advisories"}, args...)...).measure()
		var list []updated
		if err == nil && strings.HasPrefix(s.out, "[") {
			err = json.Unmarshal([]byte(s.out), &list)
		}
		if err != nil || len(list) == 0 {
			return updated{}, err
		}
		return list[0], nil
	}
	if _, err := run("make", osv, made); err != nil {
		return err
	}
	first, err := run("subscribe", made, "--json", "--key", strings.TrimSpace(key.out))
	if err != nil {
		return err
	}
	same, err := run("update", "feed", "--json")
	if err != nil {
		return err
	}
	for i := range auditChanges {
		s := auditSystems[i%len(auditSystems)]
		text, err := json.Marshal(newAuditRecord(fmt.Sprintf("OTHER-%s-%d", s[0], i), s[0], fmt.Sprintf("other%d", i), "3.0.0"))
		if err == nil {
			err = os.WriteFile(filepath.Join(osv, fmt.Sprintf("OTHER-%s-%d.json", s[0], i)), text, 0o644)
		}
		if err != nil {
			return err
		}
	}
	if _, err := run("make", osv, made); err != nil {
		return err
	}
	changed, err := run("update", "feed", "--json")
	if err != nil {
		return err
	}
	kib := func(n int64) string { return fmt.Sprintf("%.1f KiB", float64(n)/1024) }
	b.table.add(fmt.Sprintf("feed of %d records, first", len(auditSystems)*auditRecords), kib(first.Bytes), "", "", "", "", "", "", "")
	b.table.add("feed update without news", kib(same.Bytes), "", "", "", kib(auditNoNews), met(same.Bytes <= auditNoNews), "", "")
	b.table.add(fmt.Sprintf("feed update, %d records changed", auditChanges), kib(changed.Bytes), "", "", "", kib(auditSmall), met(changed.Bytes <= auditSmall), "", "")
	return nil
}
