package tidy

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTidy(t *testing.T) {
	now := time.Now()
	put := func(dir, name string, size int, idle time.Duration) {
		t.Helper()
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, bytes.Repeat([]byte{1}, size), 0o400); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(at, now.Add(-idle), now.Add(-idle)); err != nil {
			t.Fatal(err)
		}
	}
	left := func(dir, pattern string) []string {
		t.Helper()
		list, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for i := range list {
			list[i], _ = filepath.Rel(dir, list[i])
		}
		slices.Sort(list)
		return list
	}
	dir := t.TempDir()
	put(dir, "old/code", 10, 40*day)
	put(dir, "old/sum", 10, 50*day)
	put(dir, "read/code", 10, 2*day)
	put(dir, "read/sum", 10, 50*day)
	put(dir, "large", 500, 3*day)
	put(dir, "third", 500, 4*day)
	put(dir, "now", 5000, time.Minute)
	put(dir, gone+"half", 5, time.Minute)
	b := bound{dir: dir, depth: 1, age: 30 * day, bytes: 5700}
	if err := b.apply(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"large", "now", "read"}, left(dir, "*")); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if d := cmp.Diff([]string{"read/code", "read/sum"}, left(dir, "*/*")); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}

	dir = t.TempDir()
	put(dir, "4d/old", 10, 40*day)
	put(dir, "4d/new", 10, day)
	b = bound{dir: dir, depth: 2, age: 30 * day, bytes: 1000}
	if err := b.apply(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"4d/new"}, left(dir, "*/*")); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if err := (bound{dir: filepath.Join(dir, "missing"), depth: 2, bytes: 1}).apply(t.Context(), now); err != nil {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestCutLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := cutLog(path, 100, 10); err != nil {
		t.Errorf("no log: %v", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write := func(text string) {
		t.Helper()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := cutLog(path, 100, 10); err != nil {
			t.Fatal(err)
		}
	}
	write("short\n")
	write(string(bytes.Repeat([]byte("x"), 100)) + "the end.\n")
	write("after\n")
	log, err := os.ReadFile(path)
	if err != nil || string(log) != "after\n" {
		t.Errorf("got %q, %v", log, err)
	}
	if old, err := os.ReadFile(path + ".old"); err != nil || string(old) != "xthe end.\n" {
		t.Errorf("got %q, %v", old, err)
	}
}
