package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	manyFiles    = 200_000 // files of a source
	manyPackages = 2_000   // packages of a closure
)

// lists measures costs that could grow with the number of files that a program can see but does not read: a build that writes one byte
// and has a source of many files, and the run of a program whose closure has many packages.
func (b *bench) lists() error {
	home := filepath.Join(b.dir, "lists")
	defer b.stop(home) //nolint:errcheck // the folder goes anyway
	if err := b.oneByte(home); err != nil {
		return err
	}
	return b.closure(home)
}

// oneByte measures builds of a package that writes one byte, with sources of two files and of many.
func (b *bench) oneByte(home string) error {
	for _, n := range []int{2, manyFiles} {
		dir := filepath.Join(b.dir, fmt.Sprint("files-", n))
		for i := range n {
			if i%100 == 0 {
				if err := os.MkdirAll(filepath.Join(dir, "src", fmt.Sprint(i/100)), 0o755); err != nil {
					return err
				}
			}
			if err := os.WriteFile(filepath.Join(dir, "src", fmt.Sprint(i/100), fmt.Sprint(i%100)), fmt.Append(nil, "file ", i), 0o644); err != nil {
				return err
			}
		}
		write := func(round int) error {
			return os.WriteFile(filepath.Join(dir, "one.nu"), fmt.Appendf(nil,
				"export def main [] {\n  derivation {name: one, src: (fetch path ./src), build: {|b| \"%d\" | save $\"($b.out)/f\" }}\n}\n", round%10), 0o644)
		}
		build := task{args: []string{b.nuka, "build", "./one.nu"}, env: b.at(home), dir: dir}
		if err := write(9); err != nil {
			return err
		}
		if _, err := build.measure(); err != nil { // uploads the source
			return err
		}
		// A repeated build takes the time of evaluation and planning, which the command does not count as build time.
		var took, idle []sample
		for round := range b.rounds {
			s, err := build.measure()
			if err != nil {
				return err
			}
			idle = append(idle, s)
			daemon, err := b.daemonOf(home)
			if err == nil {
				err = errors.Join(daemon.forgetPeak(), write(round))
			}
			if err == nil {
				s, err = build.measure()
			}
			if err != nil {
				return err
			}
			if s.wall, err = builtIn(s.errs); err != nil {
				return err
			}
			s.memory = daemon.peak()
			took = append(took, s)
		}
		what := fmt.Sprintf("build of one byte beside %d files", n)
		b.table.add(what, round(wall(took)), "all but the build", round(wall(idle)), "", "", "", memory(took))
		if err := b.stop(home); err != nil { // so that each has a memory peak of its own
			return err
		}
	}
	return nil
}

// builtIn returns the build time that the command reports.
func builtIn(said string) (time.Duration, error) {
	for line := range strings.Lines(said) {
		if _, took, ok := strings.Cut(strings.TrimSpace(line), "built one ("); ok {
			return time.ParseDuration(strings.TrimSuffix(took, ")"))
		}
	}
	return 0, fmt.Errorf("no build in %q", said)
}

// closure measures the run of a program alone, and with a closure of many packages with a tree each.
func (b *bench) closure(home string) error {
	dir := filepath.Join(b.dir, "closure")
	if err := os.MkdirAll(filepath.Join(dir, "tree"), 0o755); err != nil {
		return err
	}
	for i := range 50 {
		if err := os.WriteFile(filepath.Join(dir, "tree", fmt.Sprint(i)), fmt.Append(nil, "file ", i), 0o644); err != nil {
			return err
		}
	}
	wasm := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "tool.wasm"), "./cmd/nuka/testdata/tool")
	wasm.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := wasm.CombinedOutput(); err != nil {
		return fmt.Errorf("build the tool: %w\n%s", err, out)
	}
	const text = `def base [] {
  derivation {name: base, src: (fetch path ./tree), build: {|b| cp -r $b.src $"($b.out)/share" }}
}
export def main [] {
  let base = (base)
  let all = (1..%d | each {|i| derivation {name: $"p($i)", packages: [$base]} })
  derivation {
    name: tool
    src: (fetch path ./tool.wasm)
    packages: $all
    build: {|b|
      mkdir $"($b.out)/bin"
      cp $b.src $"($b.out)/bin/tool"
      $b.packages | to json | save $"($b.out)/packages.json"
    }
  }
}
`
	var tasks []task
	for _, n := range []int{1, manyPackages} {
		file := fmt.Sprintf("tool%d.nu", n)
		if err := os.WriteFile(filepath.Join(dir, file), fmt.Appendf(nil, text, n), 0o644); err != nil {
			return err
		}
		tasks = append(tasks, task{args: []string{b.nuka, "run", "./" + file, "--", "echo", "x"}, env: b.at(home), dir: dir})
	}
	if _, err := inTurn(2, tasks, nil); err != nil { // builds them
		return err
	}
	all, err := inTurn(b.rounds, tasks, nil)
	if err != nil {
		return err
	}
	for i, n := range []int{2, manyPackages + 1} {
		b.table.add(fmt.Sprintf("run of a program with a closure of %d", n), round(wall(all[i])), "CPU of the command", round(cpu(all[i])), "", "", "", memory(all[i]))
	}
	return nil
}

// A process is the id of a running process.
type process int

// daemonOf returns the process of a home's daemon.
func (b *bench) daemonOf(home string) (process, error) {
	s, err := (task{args: []string{b.nuka, "status", "--json"}, env: b.at(home)}).measure()
	if err != nil {
		return 0, err
	}
	var status struct {
		Process process `json:"process"`
	}
	err = json.Unmarshal([]byte(s.out), &status)
	return status.Process, err
}

// forgetPeak resets the peak of a process's memory to its current size, if the system supports that.
func (p process) forgetPeak() error {
	err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p), []byte("5"), 0o200)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// peak returns the peak of resident memory, or 0 if the system does not report it.
func (p process) peak() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}
