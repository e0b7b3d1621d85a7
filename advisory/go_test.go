package advisory

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/advisory/feed"
	"github.com/MordragT/nuka/advisory/osv"
)

// vulndb is the module of the Go proxy that has the Go vulnerability database, as tools/audit pins it. Its records are CC-BY-4.0.
const vulndb = "golang.org/x/vulndb@v0.0.0-20261105234957-e22db6528018"

// goRecords returns the folder of the real records. They come from the go command's own configuration; without them the test is skipped, unless NUKA_LONG is set.
func goRecords(t testing.TB) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", vulndb)
	c.Dir = t.TempDir()
	c.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := c.Output()
	var module struct{ Dir string }
	if err == nil {
		err = json.Unmarshal(out, &module)
	}
	if err != nil {
		if os.Getenv("NUKA_LONG") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no %s: %v", vulndb, err)
	}
	return filepath.Join(module.Dir, "data", "osv")
}

// goFeed makes a feed of the real records.
func goFeed(t testing.TB) Feed {
	t.Helper()
	var b feed.Builder
	if err := b.AddFolder(t.Context(), os.DirFS(goRecords(t)), ""); err != nil {
		t.Fatal(err)
	}
	return feedOf(t, "go", &b)
}

func feedOf(t testing.TB, name string, b *feed.Builder) Feed {
	t.Helper()
	dir := t.TempDir()
	if err := b.Write(dir, &feed.Manifest{Name: name}, nil); err != nil {
		t.Fatal(err)
	}
	tree, err := feed.OpenTree(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	return Feed{Name: name, Tree: tree, Local: true}
}

func modules(t testing.TB, file string) (uses []Use) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if path, version, ok := strings.Cut(strings.TrimSpace(line), " "); ok && path != "#" {
			uses = append(uses, Use{Part: Part{Ecosystem: "Go", Name: path, Version: version}, Root: file})
		}
	}
	return uses
}

func TestGoData(t *testing.T) {
	f := goFeed(t)
	if got := f.Tree.Records["Go"]; got != 4789 || len(f.Tree.Records) != 1 {
		t.Errorf("%v records, want 4789 of Go", f.Tree.Records)
	}
	if len(f.Tree.Broken) > 0 {
		t.Errorf("%d broken records: %v", len(f.Tree.Broken), f.Tree.Broken[0])
	}
	for file, want := range map[string]int{"graph.txt": 42, "linked.txt": 11} {
		r, err := Match(modules(t, file), []Feed{f})
		if err != nil {
			t.Fatal(err)
		}
		records := map[string]bool{}
		for _, found := range r.Findings {
			for _, s := range found.records {
				records[s.Entry.ID+" "+found.Part.Name] = true
			}
		}
		if len(records) != want {
			t.Errorf("%s: %d findings, want %d: %v", file, len(records), want, records)
		}
		if r.Covered != r.Parts || len(r.Doubts) > 0 {
			t.Errorf("%s: %d of %d parts are covered, %d doubts", file, r.Covered, r.Parts, len(r.Doubts))
		}
	}
	all, err := f.Tree.Since("")
	if err != nil {
		t.Fatal(err)
	}
	withdrawn := map[string]bool{}
	for _, e := range all {
		if e.Withdrawn != "" {
			withdrawn[e.ID] = true
		}
	}
	if len(withdrawn) != 18 {
		t.Errorf("%d records are withdrawn, want 18", len(withdrawn))
	}
	for _, id := range []string{"GO-2021-0113", "CVE-2021-38561", "GHSA-ppp9-7jff-5vj2"} {
		found, err := f.Tree.Find(id)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(found, func(e osv.Entry) bool { return e.ID == "GO-2021-0113" && e.Name == "golang.org/x/text" }) {
			t.Errorf("%s leads to %d entries, and not to GO-2021-0113", id, len(found))
		}
	}
}

func TestMatchTime(t *testing.T) {
	f, uses := goFeed(t), modules(t, "graph.txt")
	start := time.Now()
	if _, err := Match(uses, []Feed{f}); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d parts: %s", len(uses), time.Since(start))
}
