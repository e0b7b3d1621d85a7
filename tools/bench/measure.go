package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A sample is what one run of a program used, including its children.
type sample struct {
	wall, cpu time.Duration
	memory    int64 // bytes
	out, errs string
}

// A task is a program to be measured.
type task struct {
	args  []string
	env   []string // added to ours
	dir   string
	stdin string
	// own makes the program print the nanoseconds that count, instead of its whole run.
	own bool
}

// limit is a timeout for programs. None should reach it; one that does hangs.
const limit = 10 * time.Minute

// synced returns t followed by a sync of the disk, for programs that do not sync the files they write.
func (t task) synced() task {
	t.args = append([]string{"sh", "-c", `"$@" && sync`, "sh"}, t.args...)
	return t
}

func (t task) measure() (sample, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.args[0], t.args[1:]...)
	cmd.Env, cmd.Dir = append(os.Environ(), t.env...), t.dir
	cmd.Stdin = strings.NewReader(t.stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	err := cmd.Run()
	s := sample{wall: time.Since(start), out: out.String(), errs: errs.String()}
	if err != nil {
		return s, fmt.Errorf("%s: %w: %s", strings.Join(t.args, " "), err, errs.String())
	}
	s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	s.memory = maxRSS(cmd.ProcessState.SysUsage())
	if t.own {
		var ns int64
		if _, err := fmt.Sscan(s.out, &ns); err != nil {
			return s, fmt.Errorf("%s: printed %q: %w", strings.Join(t.args, " "), s.out, err)
		}
		s.wall = time.Duration(ns)
	}
	return s, nil
}

// inTurn measures tasks one after the other, in several rounds, and returns the samples of each.
// It calls before ahead of each task and does not measure it; before may be nil.
func inTurn(rounds int, tasks []task, before func(round, i int) error) ([][]sample, error) {
	all := make([][]sample, len(tasks))
	for r := range rounds {
		for i, t := range tasks {
			if before != nil {
				if err := before(r, i); err != nil {
					return nil, err
				}
			}
			s, err := t.measure()
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], s)
		}
	}
	return all, nil
}

func median[T any](list []sample, of func(sample) T, less func(a, b T) int) T {
	var values []T
	for _, s := range list {
		values = append(values, of(s))
	}
	slices.SortFunc(values, less)
	return values[len(values)/2]
}

func wall(list []sample) time.Duration {
	return median(list, func(s sample) time.Duration { return s.wall }, func(a, b time.Duration) int { return int(a - b) })
}

func cpu(list []sample) time.Duration {
	return median(list, func(s sample) time.Duration { return s.cpu }, func(a, b time.Duration) int { return int(a - b) })
}

func memory(list []sample) string {
	most := int64(0)
	for _, s := range list {
		most = max(most, s.memory)
	}
	return mib(most)
}

func mib(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

func round(d time.Duration) string {
	if d < time.Second {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// A table is rows of text.
type table [][]string

func (t *table) add(cells ...string) { *t = append(*t, cells) }

func (t table) print(w io.Writer, head ...string) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, strings.Join(head, "\t"))
	for _, row := range t {
		for len(row) < len(head) {
			row = append(row, "")
		}
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	_ = tw.Flush() // an error of the terminal cannot be reported
}

func met(ok bool) string {
	if ok {
		return "yes"
	}
	return "NO"
}
