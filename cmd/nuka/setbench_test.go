package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/set"
)

// largeSet adds a set of generated packages to a home. Its tree has one file: search reads the index only.
func largeSet(b *testing.B, home string, n int) {
	words := strings.Fields("fast small library parser server client image sound text format network secure tool binding compiler format table graph search index")
	entries := make([]set.Entry, n)
	for i := range entries {
		name := fmt.Sprintf("%s-%s%d", words[i%len(words)], words[i/7%len(words)], i)
		entries[i] = set.Entry{
			Name: name, Path: "app/" + name, Version: fmt.Sprintf("%d.%d", i%9, i%31), License: "MIT", PID: pir.Sum([]byte(name)),
			Description: fmt.Sprintf("A %s %s for the %s of %s and %s, number %d.", words[i%5], words[i%11], words[i%13], words[i%17], words[i%19], i),
			Commands:    []string{name, fmt.Sprintf("tool%d", i)}, Files: []string{name + ".1", name + ".h", fmt.Sprintf("lib%d.a", i)},
		}
	}
	index, err := set.BuildIndex(entries)
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.nu"), nil, 0o644); err != nil {
		b.Fatal(err)
	}
	s := &set.Set{Name: "large", From: dir, Updated: time.Now().UTC().Truncate(time.Second)}
	if s.Root, err = set.Hash(b.Context(), os.DirFS(dir)); err != nil {
		b.Fatal(err)
	}
	folder, err := set.Open(filepath.Join(home, "sets"))
	if err != nil {
		b.Fatal(err)
	}
	lock, err := folder.Lock(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer lock.Close()
	if err := lock.Put(b.Context(), s, os.DirFS(dir), index, false); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSearch runs nuka search in a set of 50,000 packages: wall time with the start of the process. nuka --version is the start alone.
func BenchmarkSearch(b *testing.B) {
	home := b.TempDir()
	largeSet(b, home, 50_000)
	for _, args := range []string{"--version", "search parser", "search fast parser library", "search tool4711", "search --command tool4711", "search --command none", "info text-parser8"} {
		b.Run(strings.ReplaceAll(args, " ", "_"), func(b *testing.B) {
			var times []time.Duration
			for b.Loop() {
				c := exec.Command(filepath.Join(programs, "nuka"), strings.Fields(args)...)
				c.Env = append(os.Environ(), "NUKA_HOME="+home)
				begin := time.Now()
				err := c.Run()
				times = append(times, time.Since(begin))
				var failed *exec.ExitError
				if err != nil && (!errors.As(err, &failed) || failed.ExitCode() != 3) {
					b.Fatal(err)
				}
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "ms-median")
		})
	}
}
