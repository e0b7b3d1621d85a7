package nu

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what errors are to testdata")

// TestErrors compares the errors for broken package files. The first line of each scene is the file and its arguments.
func TestErrors(t *testing.T) {
	scenes, err := filepath.Glob("testdata/errors/*.txtar")
	if err != nil || len(scenes) == 0 {
		t.Fatalf("got %d scenes, %v", len(scenes), err)
	}
	for _, name := range scenes {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			words := strings.Fields(string(a.Comment))
			files := map[string]string{}
			want := ""
			for _, f := range a.Files {
				if f.Name == "want" {
					want = string(f.Data)
				} else {
					files[f.Name] = string(f.Data)
				}
			}
			timeout := time.Minute // long, so that on a busy machine other limits are reached first
			if strings.Contains(want, "longer than 2s") {
				timeout = 2 * time.Second
			}
			e := testEngine(t, &Options{Timeout: timeout, MemoryLimit: 128 << 20})
			_, err = e.Eval(t.Context(), &Request{Sets: sets(files), File: words[0], Args: words[1:]})
			var diags *Error
			if !errors.As(err, &diags) {
				t.Fatalf("got error %v, want an *Error", err)
			}
			got := diags.Error() + "\n"
			if *update {
				for i := range a.Files {
					if a.Files[i].Name == "want" {
						a.Files[i].Data = []byte(got)
					}
				}
				if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}
