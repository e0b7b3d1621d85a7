package wasmrt_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/MordragT/nuka/wasmrt"
)

// cacheFiles returns the files of a machine code cache.
func cacheFiles(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			out = append(out, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// loadAndRun loads a program in a new runtime, runs it, and returns the log.
func loadAndRun(t *testing.T, dir string, code []byte) string {
	t.Helper()
	ctx := context.Background()
	var log bytes.Buffer
	rt, err := wasmrt.New(ctx, &wasmrt.Options{CacheDir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close(ctx)
	m, err := rt.Load(ctx, code)
	if err != nil {
		t.Fatal(err)
	}
	if exit, err := rt.Run(ctx, &wasmrt.Program{Module: m, Args: []string{"tiny"}, MemoryLimit: 64 << 20}); err != nil || exit != 3 {
		t.Fatalf("got %d, %v, want 3", exit, err)
	}
	return log.String()
}

// TestDamagedCacheIsMadeAnew damages each byte of an entry in turn, truncates it at every length, and removes each file.
// Each time the runtime must compile the program again and run it.
func TestDamagedCacheIsMadeAnew(t *testing.T) {
	dir, code := t.TempDir(), program(1, growLoop...)
	if log := loadAndRun(t, dir, code); log != "" {
		t.Errorf("cold: got log %q", log)
	}
	files := cacheFiles(t, dir)
	if len(files) != 2 {
		t.Fatalf("got files %v, want an entry and its sum", files)
	}
	if log := loadAndRun(t, dir, code); log != "" {
		t.Errorf("warm: got log %q", log)
	}
	for _, f := range files {
		good, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var bad [][]byte
		step := 1
		if testing.Short() {
			step = 13
		}
		for i := 0; i < len(good); i += step {
			b := bytes.Clone(good)
			b[i] ^= 0x10
			bad = append(bad, b)
			if i%3 == 0 {
				bad = append(bad, good[:i])
			}
		}
		bad = append(bad, append(bytes.Clone(good), 0), bytes.Repeat([]byte{0xff}, len(good)))
		for i, b := range bad {
			if err := os.WriteFile(f, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if log := loadAndRun(t, dir, code); log == "" {
				t.Errorf("%s: damage %d went unnoticed", filepath.Base(f), i)
			}
			if now, err := os.ReadFile(f); err != nil || !bytes.Equal(now, good) {
				t.Fatalf("%s: damage %d was not repaired: %v", filepath.Base(f), i, err)
			}
		}
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
		loadAndRun(t, dir, code)
		if now, err := os.ReadFile(f); err != nil || !bytes.Equal(now, good) {
			t.Errorf("%s: was not made again: %v", filepath.Base(f), err)
		}
	}
}

// TestCacheThatCannotBeUsed checks that a cache that is not writable, or not a directory, only costs time.
func TestCacheThatCannotBeUsed(t *testing.T) {
	dir, code := t.TempDir(), program(1, growLoop...)
	loadAndRun(t, dir, code)
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 1 {
		t.Fatalf("got %v, %v, want one entry", list, err)
	}
	entry := filepath.Join(dir, list[0].Name())
	if err := os.RemoveAll(entry); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(entry, []byte("in the way"), 0o600); err != nil {
		t.Fatal(err)
	}
	if log := loadAndRun(t, dir, code); log == "" {
		t.Error("got no log")
	}
}

// TestCacheInAnyFolder keeps machine code in a folder whose name is a pattern.
func TestCacheInAnyFolder(t *testing.T) {
	dir, code := filepath.Join(t.TempDir(), "a[b]*c"), program(1, growLoop...)
	for range 2 {
		if log := loadAndRun(t, dir, code); log != "" {
			t.Error(log)
		}
		if !wasmrt.Cached(dir, code) {
			t.Error("nothing was kept")
		}
	}
}

// TestCacheIsSharedByProcesses fills one empty cache from several processes at once, each with several goroutines.
func TestCacheIsSharedByProcesses(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestCacheHelper$")
			cmd.Env = append(os.Environ(), "WASMRT_CACHE="+dir)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	loadAndRun(t, dir, program(1, growLoop...)) // the last action of a helper may be a removal
	if log := loadAndRun(t, dir, program(1, growLoop...)); log != "" {
		t.Errorf("after that: %s", log)
	}
	for _, f := range cacheFiles(t, dir) {
		if filepath.Ext(f) == ".tmp" {
			t.Errorf("left over: %s", f)
		}
	}
}

func TestCacheHelper(t *testing.T) {
	dir := os.Getenv("WASMRT_CACHE")
	if dir == "" {
		t.Skip("run by TestCacheIsSharedByProcesses")
	}
	for range 20 {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { loadAndRun(t, dir, program(1, growLoop...)) })
		}
		wg.Wait()
		if entries, _ := filepath.Glob(filepath.Join(dir, "*", "wazero-*", "*")); len(entries) > 0 {
			_ = os.Remove(entries[0]) // so that the next round compiles again
		}
	}
}
