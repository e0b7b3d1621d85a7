package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// program measures the run of a small program that is already built, against wazero's own command with its cache.
func (b *bench) program() error {
	if b.home == "" {
		return nil
	}
	env := b.at(b.home)
	pid, err := b.pid("hello")
	if err != nil {
		return err
	}
	wasm, err := (task{args: []string{b.nuka, "cat", pid, "bin/hello"}, env: env}).measure()
	if err != nil {
		return err
	}
	file, cache := filepath.Join(b.dir, "hello.wasm"), filepath.Join(b.dir, "wazero-cache")
	if err := os.WriteFile(file, []byte(wasm.out), 0o644); err != nil {
		return err
	}
	tasks := []task{{args: []string{b.nuka, "run", "hello"}, env: env, dir: b.dir}}
	if b.wazero != "" {
		tasks = append(tasks, task{args: []string{b.wazero, "run", "-cachedir=" + cache, file}, dir: b.dir})
	}
	if _, err := inTurn(2, tasks, nil); err != nil { // fills the caches
		return err
	}
	all, err := inTurn(4*b.rounds, tasks, nil)
	if err != nil {
		return err
	}
	ours := wall(all[0])
	if len(all) == 1 {
		b.table.add("run hello, built", round(ours), "", "", "", "< 60ms", met(ours < 60*time.Millisecond), memory(all[0]))
		return nil
	}
	if all[0][0].out != all[1][0].out {
		return fmt.Errorf("nuka printed %q, wazero %q", all[0][0].out, all[1][0].out)
	}
	ratio := float64(ours) / float64(wall(all[1]))
	b.table.add("run hello, built", round(ours), "wazero run -cachedir", round(wall(all[1])), fmt.Sprintf("%.2f×", ratio), "< 60ms, ≤ 3×",
		met(ours < 60*time.Millisecond && ratio <= 3), memory(all[0]), memory(all[1]))
	return nil
}

// pid returns the PID of a package, which it builds if needed.
func (b *bench) pid(pkg string) (string, error) {
	if _, err := (task{args: []string{b.nuka, "build", pkg}, env: b.at(b.home)}).measure(); err != nil {
		return "", err
	}
	s, err := (task{args: []string{b.nuka, "eval", pkg}, env: b.at(b.home)}).measure()
	return strings.TrimSpace(s.out), err
}
