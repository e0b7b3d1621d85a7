package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// posixPackage is a package that posix configures and builds.
type posixPackage struct {
	name   string
	most   float64 // of the native processor time
	config string  // arguments of configure
}

var posixPackages = []posixPackage{{"hello", 2, ""}, {"sed", 3, "--disable-nls"}, {"xz", 3, "--disable-shared --disable-threads"}, {"pcre2", 3, "--disable-shared"}}

// posix measures programs with processes, in the world of a build, and configure scripts and makefiles: processor time, in this run and in turn with dash and gcc.
func (b *bench) posix() error {
	if b.home == "" {
		return nil
	}
	if _, err := b.pid("hello"); err != nil { // makes the inputs present
		return err
	}
	ours := func(pkg, script string) task {
		return task{args: []string{b.nuka, "shell", pkg, "--build", "--", "sh", "-c", script}, env: b.at(b.home), dir: b.dir}
	}
	loop := func(n int, body string) string {
		return fmt.Sprintf("i=0; while [ $i -lt %d ]; do %s; i=$((i+1)); done", n, body)
	}
	const starts, pipelines = 500, 200
	tasks := []task{
		ours("hello", ":"), ours("hello", loop(starts, "/bin/true")), ours("hello", loop(pipelines, "echo a | /bin/cat | /bin/cat | /bin/cat >/dev/null")),
		{args: []string{"dash", "-c", loop(starts, "/bin/true")}}, {args: []string{"dash", "-c", loop(pipelines, "echo a | /bin/cat | /bin/cat | /bin/cat >/dev/null")}},
	}
	all, err := inTurn(b.rounds, tasks, nil)
	if err != nil {
		return err
	}
	one := func(i, n int) time.Duration { return (cpu(all[i]) - cpu(all[0])) / time.Duration(n) }
	start, native := one(1, starts), cpu(all[3])/starts
	b.table.add("start of a program from sh, CPU", round(start), "dash", round(native), times(start, native), "≤ 1ms", met(start <= time.Millisecond), memory(all[1]), memory(all[3]))
	pipe, native := one(2, pipelines), cpu(all[4])/pipelines
	b.table.add("pipeline of three programs, CPU", round(pipe), "dash", round(native), times(pipe, native), "", "", memory(all[2]), memory(all[4]))
	for _, p := range posixPackages {
		if err := b.configured(p, ours); err != nil {
			return err
		}
	}
	return b.rebuilt()
}

func times(a, of time.Duration) string { return fmt.Sprintf("%.2f×", a.Seconds()/of.Seconds()) }

// configured measures configure and make of one package.
func (b *bench) configured(p posixPackage, ours func(pkg, script string) task) error {
	script := fmt.Sprintf("./configure %s >/dev/null && make -j%d >/dev/null", p.config, runtime.NumCPU())
	kept := filepath.Join(b.dir, "posix-"+p.name)
	if _, err := (task{args: []string{b.nuka, "shell", p.name, "--build", "--keep", kept, "--", "true"}, env: b.at(b.home)}).measure(); err != nil {
		return err
	}
	tasks := []task{ours(p.name, script)}
	var names []string
	for _, compiler := range []string{"gcc", "clang"} {
		if _, err := exec.LookPath(compiler); err != nil {
			continue
		}
		names = append(names, compiler)
		tasks = append(tasks, task{
			args: []string{"sh", "-c", `cp -r "$1" "$2" && cd "$2" && chmod -R u+x . && find . -exec touch -d 2020-01-01 {} + && dash -c "$3"; rc=$?; rm -rf "$2"; exit $rc`, "sh", filepath.Join(kept, "build", "source"), kept + "-native", script},
			env:  []string{"CC=" + compiler, "CFLAGS=-O2", "CONFIG_SHELL=/usr/bin/dash"},
		})
	}
	all, err := inTurn(max(1, b.rounds/3), tasks, nil)
	if err != nil {
		return err
	}
	row := []string{p.name + ": configure and make, CPU", round(cpu(all[0])), "", "", "", fmt.Sprintf("≤ %g×", p.most), "", memory(all[0]), ""}
	for i, name := range names {
		ratio := cpu(all[0]).Seconds() / cpu(all[i+1]).Seconds()
		row[2], row[3], row[4], row[6], row[8] = "dash, "+name, round(cpu(all[i+1])), fmt.Sprintf("%.2f×", ratio), met(ratio <= p.most), memory(all[i+1])
		b.table.add(row...)
		row = []string{"", "", "", "", "", "", "", "", ""}
	}
	if len(names) == 0 {
		b.table.add(row...)
	}
	return nil
}

// rebuilt measures a build that fails when it links, and the next one, which does not: the processor time of their workers.
func (b *bench) rebuilt() error {
	file := filepath.Join(b.dir, "again.nu")
	build := func(version, more string) (time.Duration, error) {
		text := fmt.Sprintf(`# again.nu: GNU hello.
use lib/autoconf.nu

export def main [] {
  autoconf package {
    name: %q
    version: %q
    src: (fetch debsrc hello 2.10-3 --hash b3-eqzyghyarayja27enenxp74xhzzbxdmt23vg4kxnmlfnbsfckqkq)
    %s
  }
}
`, "again-"+filepath.Base(b.dir), version, more)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return 0, err
		}
		before, err := b.workers()
		if err != nil {
			return 0, err
		}
		_, failed := (task{args: []string{b.nuka, "build", file}, env: b.at(b.home)}).measure()
		after, err := b.workers()
		if (failed != nil) != (more != "") {
			return 0, fmt.Errorf("the build with %q: %w", more, failed)
		}
		return after - before, err
	}
	first, err := build("1", `make: ["LIBS=-lnosuch"]`)
	if err != nil {
		return err
	}
	second, err := build("2", "")
	if err != nil {
		return err
	}
	third, err := build("3", "")
	if err != nil {
		return err
	}
	b.table.add("hello: first build, fails to link, CPU", round(first))
	b.table.add("  the next, after the error is gone", round(second), "the first", round(first), times(second, first), "≤ 0.1×", met(second <= first/10))
	b.table.add("  once more, for another reason", round(third), "the first", round(first), times(third, first), "", "")
	return nil
}

// workers returns the processor time of the daemon's children that have ended.
func (b *bench) workers() (time.Duration, error) {
	s, err := (task{args: []string{b.nuka, "status"}, env: b.at(b.home)}).measure()
	if err != nil {
		return 0, err
	}
	_, text, _ := strings.Cut(s.out, "process")
	pid, _, _ := strings.Cut(strings.TrimSpace(text), ",")
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks int64
	for _, f := range fields[13:15] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}
