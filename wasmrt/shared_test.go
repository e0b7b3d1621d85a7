package wasmrt_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/MordragT/nuka/internal/skip"
	"github.com/MordragT/nuka/wasmrt"
)

// exits returns a program that exits with a code below 64.
func exits(code byte) []byte { return program(1, 0x41, code, 0x10, 0) }

// sharedRun runs a module through a read-only cache, and returns the exit code and the log.
func sharedRun(t *testing.T, o wasmrt.Options, code []byte) (int, string) {
	t.Helper()
	ctx := context.Background()
	var log bytes.Buffer
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	rt, err := wasmrt.New(ctx, &o)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close(ctx)
	m, err := rt.Load(ctx, code)
	if err != nil {
		t.Fatal(err)
	}
	exit, err := rt.Run(ctx, &wasmrt.Program{Module: m, Args: []string{"p"}})
	if err != nil {
		t.Fatal(err)
	}
	return exit, log.String()
}

// compileInto does a daemon's part: it has a module compiled, and adopts the machine code.
func compileInto(t *testing.T, cache string, code []byte) error {
	t.Helper()
	made, file := t.TempDir(), filepath.Join(t.TempDir(), "p.wasm")
	if err := os.WriteFile(file, code, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := wasmrt.CompileFile(context.Background(), file, made); err != nil {
		t.Fatal(err)
	}
	return wasmrt.Adopt(cache, made, code)
}

// TestSharedCache checks that a process with a scratch requests machine code that is missing, damaged or for another processor,
// each once, and writes nothing to the cache.
func TestSharedCache(t *testing.T) {
	cache, code := t.TempDir(), exits(3)
	var asked []bool
	fill := true
	o := wasmrt.Options{CacheDir: cache, Scratch: t.TempDir(), Ask: func(_ context.Context, m *wasmrt.Missing) error {
		asked = append(asked, m.Again)
		if !bytes.Equal(m.Code, code) || m.File != "" {
			t.Errorf("asked for %d bytes of %q", len(m.Code), m.File)
		}
		if !fill {
			return errors.New("not today")
		}
		return compileInto(t, cache, code)
	}}
	step := func(what string, want ...bool) {
		t.Helper()
		asked = nil
		exit, _ := sharedRun(t, o, code)
		if exit != 3 || len(asked) != len(want) || len(want) == 1 && asked[0] != want[0] {
			t.Errorf("%s: got %d, asked %v, want 3, %v", what, exit, asked, want)
		}
	}
	fill = false
	step("not answered", false)
	if files := append(cacheFiles(t, cache), cacheFiles(t, o.Scratch)...); len(files) != 0 {
		t.Errorf("not answered: somebody wrote %v", files)
	}
	fill = true
	step("missing", false)
	step("there")
	entry, sum := "", ""
	for _, f := range cacheFiles(t, cache) {
		if filepath.Base(f) == "sum" {
			sum = f
		} else {
			entry = f
		}
	}
	good, err := os.ReadFile(entry)
	if err != nil {
		t.Fatal(err)
	}
	for what, i := range map[string]int{"damaged offsets": 30, "damaged machine code": len(good) - 20} {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if err := os.WriteFile(entry, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		step(what, true)
		step(what + ", made anew")
	}
	// On another processor wazero expects another file name.
	other := filepath.Join(filepath.Dir(entry), strings.Repeat("ab", 32))
	text, err := os.ReadFile(sum)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte(filepath.Base(entry)), []byte(filepath.Base(other)))
	if err := errors.Join(os.Rename(entry, other), os.WriteFile(sum, text, 0o600)); err != nil {
		t.Fatal(err)
	}
	step("another processor", true)
	step("another processor, added")
}

// TestAdoptTrustsNothing checks Adopt after an attacker has taken over a compile worker and left arbitrary files: Adopt takes only
// one plain file of machine code, for the worker's own module, and neither reads nor changes another entry.
func TestAdoptTrustsNothing(t *testing.T) {
	code, other := exits(3), exits(4)
	make1 := func(t *testing.T) (cache, made, file string) {
		cache, made = t.TempDir(), t.TempDir()
		if err := compileInto(t, cache, other); err != nil {
			t.Fatal(err)
		}
		module := filepath.Join(t.TempDir(), "p.wasm")
		if err := os.WriteFile(module, code, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := wasmrt.CompileFile(context.Background(), module, made); err != nil {
			t.Fatal(err)
		}
		for _, f := range cacheFiles(t, made) {
			if filepath.Base(f) != "sum" {
				file = f
			}
		}
		return cache, made, file
	}
	// neighbour returns the machine code of the other module in the cache.
	neighbour := func(t *testing.T, cache string) string {
		for _, f := range cacheFiles(t, cache) {
			if filepath.Base(f) != "sum" {
				return f
			}
		}
		t.Fatal("it is not there")
		return ""
	}
	for name, spoil := range map[string]func(t *testing.T, cache, made, file string) error{
		"nothing": func(_ *testing.T, _, made, _ string) error {
			return os.RemoveAll(filepath.Join(made, "..", filepath.Base(made)))
		},
		"no file": func(_ *testing.T, _, _, file string) error { return os.Remove(file) },
		"link to a neighbour": func(t *testing.T, cache, _, file string) error {
			return errors.Join(os.Remove(file), os.Symlink(neighbour(t, cache), file))
		},
		"second name of a neighbour": func(t *testing.T, cache, _, file string) error {
			return errors.Join(os.Remove(file), os.Link(neighbour(t, cache), file))
		},
		"folder is a link to a neighbour's": func(t *testing.T, cache, _, file string) error {
			dir := filepath.Dir(file)
			return errors.Join(os.RemoveAll(dir), os.Symlink(filepath.Dir(neighbour(t, cache)), dir))
		},
		"entry is a link to a neighbour's": func(t *testing.T, cache, _, file string) error {
			dir := filepath.Dir(filepath.Dir(file))
			return errors.Join(os.RemoveAll(dir), os.Symlink(filepath.Dir(filepath.Dir(neighbour(t, cache))), dir))
		},
		"FIFO": func(_ *testing.T, _, _, file string) error { return errors.Join(os.Remove(file), mkfifo(file)) },
		"a folder": func(_ *testing.T, _, _, file string) error {
			return errors.Join(os.Remove(file), os.Mkdir(file, 0o700))
		},
		"a name of ours": func(_ *testing.T, _, _, file string) error {
			return os.Rename(file, filepath.Join(filepath.Dir(file), "..", "sum"))
		},
		"a name that is none": func(_ *testing.T, _, _, file string) error {
			return os.Rename(file, filepath.Join(filepath.Dir(file), "x"+filepath.Base(file)[1:]))
		},
		"no machine code": func(_ *testing.T, _, _, file string) error { return os.WriteFile(file, []byte("WAZEVO\xff"), 0o600) },
		"lengths that lie": func(_ *testing.T, _, _, file string) error {
			b, err := os.ReadFile(file)
			for i := 7; i < min(len(b), 60); i++ {
				b[i] = 0xff
			}
			return errors.Join(err, os.WriteFile(file, b, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			cache, made, file := make1(t)
			if err := spoil(t, cache, made, file); err != nil {
				skip.Wall(t, err)
			}
			before := cacheFiles(t, cache)
			if err := wasmrt.Adopt(cache, made, code); err == nil {
				t.Error("got no error")
			}
			if wasmrt.Cached(cache, code) {
				t.Error("the module has an entry")
			}
			if after := cacheFiles(t, cache); len(after) != len(before) {
				t.Errorf("got files %v, want %v", after, before)
			}
			if exit, log := sharedRun(t, wasmrt.Options{CacheDir: cache, Scratch: t.TempDir()}, other); exit != 4 || log != "" {
				t.Errorf("the neighbour: got %d, %s", exit, log)
			}
		})
	}
	cache, made, _ := make1(t)
	if err := wasmrt.Adopt(cache, made, code); err != nil {
		t.Fatal(err)
	}
	if exit, log := sharedRun(t, wasmrt.Options{CacheDir: cache, Scratch: t.TempDir()}, code); exit != 3 || log != "" {
		t.Errorf("got %d, %s", exit, log)
	}
}
