package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

var errPower = errors.New("power cut")

// TestPowerCut cuts the power before each step, and discards what is not durable: all of it, only the bytes, or only the name.
// The file then has the old content or the new. After Write has returned nil, it has the new.
func TestPowerCut(t *testing.T) {
	steps := []step{stepCreate, stepSync, stepName, stepSyncDir, "none"}
	for _, cut := range steps {
		for _, lost := range []string{"nothing", "bytes", "name"} {
			t.Run(string(cut)+", "+lost, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "file")
				if err := Write(path, []byte("old content")); err != nil {
					t.Fatal(err)
				}
				var done []step // steps that were begun; all but the last are complete
				w := &writer{before: func(s step) error {
					if s == cut {
						return errPower
					}
					done = append(done, s)
					return nil
				}}
				err := w.write(path, []byte("new content"), os.Rename)
				if (err == nil) != (cut == "none") || err != nil && !errors.Is(err, errPower) {
					t.Fatalf("got %v", err)
				}
				has := func(s step) bool { return slices.Contains(done, s) }
				switch {
				case lost == "name" && has(stepName) && !has(stepSyncDir):
					write(t, path, "old content")
				case lost == "bytes" && has(stepName) && !has(stepSync):
					write(t, path, "new")
				}
				b, readErr := os.ReadFile(path)
				got := string(b)
				if readErr != nil || got != "new content" && (err == nil || got != "old content") {
					t.Errorf("Write returned %v; the file has %q, %v", err, got, readErr)
				}
			})
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := Create(path, []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := Create(path, []byte("second")); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v, want os.ErrExist", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "first" {
		t.Errorf("got %q, %v; want the first", b, err)
	}
	if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) != 1 {
		t.Errorf("got %v, %v; want the file alone", list, err)
	}
}
