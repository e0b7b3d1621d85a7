package apt

import (
	"iter"
	"strings"

	"github.com/MordragT/nuka/source/debversion"
)

// A relation is one alternative of a dependency, or one entry of a list such as Conflicts (deb-control(5)).
type relation struct {
	name, op, version string
	arch              string // after a colon, or ""
}

func parseRelation(s string) (r relation) {
	s = strings.TrimSpace(s)
	if i := strings.IndexByte(s, '('); i >= 0 {
		limit := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(s[i+1:]), ")"))
		n := len(limit) - len(strings.TrimLeft(limit, "<>="))
		if r.op, r.version = limit[:n], strings.TrimSpace(limit[n:]); r.op == "" {
			r.op = "?" // allows nothing
		}
		s = strings.TrimSpace(s[:i])
	}
	r.name, r.arch, _ = strings.Cut(s, ":")
	return r
}

// String returns the relation in Debian's form.
func (r relation) String() string {
	s := r.name
	if r.arch != "" {
		s += ":" + r.arch
	}
	if r.op != "" {
		s += " (" + r.op + " " + r.version + ")"
	}
	return s
}

// relations returns the entries of a list between commas.
func relations(list string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for part := range strings.SplitSeq(list, ",") {
			if part = strings.TrimSpace(part); part != "" && !yield(part) {
				return
			}
		}
	}
}

// alternatives returns the alternatives of one dependency.
func alternatives(group string) (out []relation) {
	for part := range strings.SplitSeq(group, "|") {
		out = append(out, parseRelation(part))
	}
	return out
}

// allows reports whether a version satisfies the relation. The version "" is that of a name that is provided without one.
func (r relation) allows(version string) bool {
	if r.op == "" {
		return true
	}
	if version == "" {
		return false
	}
	c := debversion.Compare(version, r.version)
	switch r.op {
	case "=":
		return c == 0
	case "<<":
		return c < 0
	case "<=", "<":
		return c <= 0
	case ">>":
		return c > 0
	case ">=", ">":
		return c >= 0
	}
	return false
}
