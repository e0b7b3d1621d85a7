package wasmrt

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A DeadlockError says that all programs of a command wait for one another.
type DeadlockError struct {
	// Waits says what each of them waits for: "sh (pid 2) waits for its children".
	Waits []string
}

func (e *DeadlockError) Error() string {
	return "all programs wait for one another: " + strings.Join(e.Waits, "; ")
}

// maxNamed is how many processes the error of a deadlock describes.
const maxNamed = 12

// deadlock describes what all processes wait for. The caller holds k.mu.
func (k *kernel) deadlock() *DeadlockError {
	d := &DeadlockError{}
	more := 0
	for _, pid := range slices.Sorted(maps.Keys(k.procs)) {
		p := k.procs[pid]
		if p.exited || p.waits == nil {
			continue
		}
		if len(d.Waits) >= maxNamed {
			more++
			continue
		}
		s := p.title() + " " + p.waits.what
		if q := p.waits.pipe; q != nil {
			if others := k.holders(q, p.waits.ends(p, q)); len(others) > 0 {
				s += ", whose other end " + strings.Join(others, ", ") + " " + verb(len(others)) + " open"
			}
		}
		d.Waits = append(d.Waits, s)
	}
	if more > 0 {
		d.Waits = append(d.Waits, fmt.Sprintf("and %d more wait", more))
	}
	return d
}

func verb(n int) string {
	if n == 1 {
		return "has"
	}
	return "have"
}

func (p *proc) title() string { return fmt.Sprintf("%s (pid %d)", p.name, p.pid) }

// ends reports which end of a pipe could end the wait of p: the one that writes if it waits to read.
func (w *waiting) ends(p *proc, q *pipe) (writes bool) {
	if w.what == "writes to a pipe" {
		return false
	}
	if w.what == "reads from a pipe" {
		return true
	}
	for _, f := range p.fds { // a poll
		if f == nil {
			continue
		}
		if end, ok := pipeOf(f); ok && end.p == q && !end.writes {
			return true
		}
	}
	return false
}

// holders names the processes that have an end of a pipe. All images wait, so that no descriptor changes. The caller holds k.mu.
func (k *kernel) holders(q *pipe, writes bool) []string {
	var out []string
	for _, pid := range slices.Sorted(maps.Keys(k.procs)) {
		p := k.procs[pid]
		has := slices.ContainsFunc(p.fds, func(f *fd) bool {
			if f == nil {
				return false
			}
			end, ok := pipeOf(f)
			return ok && end.p == q && end.writes == writes
		})
		if has && !p.exited && len(out) < 3 {
			out = append(out, p.title())
		}
	}
	return out
}
