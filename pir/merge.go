package pir

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/MordragT/nuka/pir/nuon"
)

// MaxPriority bounds the priority of a package in an environment, up and down.
const MaxPriority = 1000

// A Merge says how the files of one package enter an environment. Paths are relative to the package's root. The zero Merge takes all files
// as they are.
type Merge struct {
	// Priority decides about a path that several packages have with different content: the package of the largest priority provides it.
	// Packages of equal priority conflict.
	Priority int
	// Leave lists the paths that the environment leaves out, with everything below them. An element may have the wildcards of path.Match.
	Leave []string
	// Rename maps paths of the package to their paths in the environment. What lies below a renamed folder moves with it.
	Rename map[string]string
}

// IsZero reports whether m takes all files as they are.
func (m Merge) IsZero() bool { return m.Priority == 0 && len(m.Leave) == 0 && len(m.Rename) == 0 }

// Path returns the path in the environment of a path of the package. It reports false if the environment leaves the path out.
func (m Merge) Path(at string) (string, bool) {
	for _, pattern := range m.Leave {
		for p := at; p != "." && p != "/"; p = path.Dir(p) {
			if ok, err := path.Match(pattern, p); ok && err == nil {
				return "", false
			}
		}
	}
	for p := at; p != "." && p != "/"; p = path.Dir(p) { // the longest renamed path decides
		if to, ok := m.Rename[p]; ok {
			return to + at[len(p):], true
		}
	}
	return at, true
}

// Check returns an error about the first wrong choice.
func (m Merge) Check() error {
	if m.Priority < -MaxPriority || m.Priority > MaxPriority {
		return fmt.Errorf("priority %d is not from %d to %d", m.Priority, -MaxPriority, MaxPriority)
	}
	for i, pattern := range m.Leave {
		if err := checkInside(pattern); err != nil {
			return fmt.Errorf("leave: %w", err)
		}
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("leave: %.200q is no pattern: %w", pattern, err)
		}
		if i > 0 && m.Leave[i-1] >= pattern {
			return errors.New("leave: the paths are not sorted, each once")
		}
	}
	targets := map[string]string{}
	for _, from := range slices.Sorted(maps.Keys(m.Rename)) {
		to := m.Rename[from]
		for _, p := range []string{from, to} {
			if err := checkInside(p); err != nil {
				return fmt.Errorf("rename: %w", err)
			}
		}
		if from == to {
			return fmt.Errorf("rename: %.200q keeps its name", from)
		}
		if other, taken := targets[to]; taken {
			return fmt.Errorf("rename: %.200q and %.200q both become %.200q", other, from, to)
		}
		targets[to] = from
	}
	return nil
}

// checkInside returns an error unless p names an entry below the root of a tree, in one way only.
func checkInside(p string) error {
	switch {
	case p == "" || p == ".":
		return errors.New("a path is empty")
	case path.IsAbs(p) || path.Clean(p) != p || p == ".." || strings.HasPrefix(p, "../"):
		return fmt.Errorf("%.200q: want a path below the package's root, without . and ..", p)
	case strings.ContainsRune(p, 0):
		return fmt.Errorf("%.200q has a zero byte", p)
	}
	return nil
}

func (p *PIR) checkMerge() error {
	for _, name := range slices.Sorted(maps.Keys(p.Merge)) {
		m := p.Merge[name]
		if _, there := p.Packages[name]; !there {
			return fieldErr("merge", "%.100q is none of the packages", name)
		}
		if m.IsZero() {
			return fieldErr("merge", "%s: nothing is chosen", name)
		}
		if err := m.Check(); err != nil {
			return fieldErr("merge", "%s: %w", name, err)
		}
	}
	return nil
}

// MergeRecord returns m as a record: {priority, leave, rename}, without the fields that choose nothing.
func MergeRecord(m Merge) nuon.Record {
	one := nuon.Record{}
	if m.Priority != 0 {
		one["priority"] = int64(m.Priority)
	}
	if len(m.Leave) > 0 {
		leave := nuon.List{}
		for _, p := range m.Leave {
			leave = append(leave, p)
		}
		one["leave"] = leave
	}
	if len(m.Rename) > 0 {
		rename := nuon.Record{}
		for from, to := range m.Rename {
			rename[from] = to
		}
		one["rename"] = rename
	}
	return one
}

// ParseMerge reads a record as MergeRecord writes it. It does not check the choices: Merge.Check does.
func ParseMerge(rec nuon.Record) (Merge, error) {
	var m Merge
	for field, v := range rec {
		var ok bool
		switch field {
		case "priority":
			var n int64
			if n, ok = v.(int64); ok && (n < -MaxPriority || n > MaxPriority) {
				return Merge{}, fmt.Errorf("priority %d is not from %d to %d", n, -MaxPriority, MaxPriority)
			}
			m.Priority = int(n)
		case "leave":
			var list nuon.List
			list, ok = v.(nuon.List)
			for _, p := range list {
				text, isText := p.(string)
				ok = ok && isText
				m.Leave = append(m.Leave, text)
			}
		case "rename":
			var names nuon.Record
			names, ok = v.(nuon.Record)
			for from, to := range names {
				text, isText := to.(string)
				ok = ok && isText
				if m.Rename == nil {
					m.Rename = map[string]string{}
				}
				m.Rename[from] = text
			}
		default:
			return Merge{}, fmt.Errorf("there is no choice %.100q: write priority, leave or rename", field)
		}
		if !ok {
			return Merge{}, fmt.Errorf("%s: want %s", field, mergeWants[field])
		}
	}
	return m, nil
}

var mergeWants = map[string]string{"priority": "a number", "leave": "a list of paths", "rename": "a record: {from: to}"}
