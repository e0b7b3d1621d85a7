package apt

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/MordragT/nuka/protocol"
)

// A Pin is one chosen package.
type Pin struct {
	Name, Version string
	Arch          string // the index's architecture, or all
	Path          string // in the archive
	SHA256        Digest
	Size          int64    // of the .deb, in bytes
	Installed     int64    // of its files as the package states it, in bytes
	Depends       []string // the names of the pins that it needs, sorted
}

// SolveOptions configures Solve. A nil *SolveOptions is the zero value.
type SolveOptions struct {
	// Prefer names packages that provide a virtual name in place of the one that Solve would choose.
	Prefer []string
	// Keep are chosen already, such as those of a lock file: they stay at their versions.
	Keep []Pin
}

// Solve chooses the packages that the roots need. It follows Pre-Depends and Depends, and takes the first alternative that the index can satisfy, unless an
// alternative is chosen already; of several packages that provide a name it takes a preferred one, else the one with the highest priority. That is what apt-get does
// on an empty system without Recommends, in all but rare cases. Afterwards it checks Conflicts and Breaks; it does not search for another choice.
//
// The pins are sorted by name. Those of Keep are not among them.
func (x *Index) Solve(roots []string, o *SolveOptions) ([]Pin, error) {
	if o == nil {
		o = &SolveOptions{}
	}
	s := &solver{x: x, chosen: map[string]*Package{}, prefer: o.Prefer}
	for _, p := range o.Keep {
		s.keep(p)
	}
	kept := maps.Clone(s.chosen)
	for _, name := range roots {
		p := x.packages[name]
		if p == nil {
			return nil, protocol.Errorf(protocol.NotFound, "Debian has no package %.100q for %s", name, x.Arch).
				WithHint("names are those of binary packages; another release may call it otherwise")
		}
		s.add(p)
	}
	for len(s.queue) > 0 {
		p := s.queue[0]
		s.queue = s.queue[1:]
		for group := range relations(p.preDepends + "," + p.depends) {
			if err := s.need(p, group); err != nil {
				return nil, err
			}
		}
	}
	if err := s.conflicts(); err != nil {
		return nil, err
	}
	var out []Pin
	for _, name := range slices.Sorted(maps.Keys(s.chosen)) {
		if p := s.chosen[name]; kept[name] == nil {
			out = append(out, Pin{p.Name, p.Version, p.Arch, p.Path, p.SHA256, p.Size, p.Installed, s.edges(p)})
		}
	}
	return out, nil
}

// A solver is one run of Solve.
type solver struct {
	x      *Index
	chosen map[string]*Package
	queue  []*Package
	prefer []string
}

func (s *solver) add(p *Package) {
	if s.chosen[p.Name] == nil {
		s.chosen[p.Name] = p
		s.queue = append(s.queue, p)
	}
}

// keep chooses a pin. What it provides and breaks is what the index says about its name: a stable release does not change that.
func (s *solver) keep(pin Pin) {
	p := &Package{}
	if known := s.x.packages[pin.Name]; known != nil {
		*p = *known
	}
	p.Name, p.Version, p.Arch, p.Path, p.SHA256, p.Size, p.Installed = pin.Name, pin.Version, pin.Arch, pin.Path, pin.SHA256, pin.Size, pin.Installed
	s.chosen[p.Name] = p
}

// need chooses a package for one dependency of p.
func (s *solver) need(p *Package, group string) error {
	list := alternatives(group)
	for _, r := range list {
		if s.satisfier(r) != "" {
			return nil
		}
	}
	for _, r := range list {
		if c := s.candidate(r); c != nil {
			s.add(c)
			return nil
		}
	}
	return protocol.Errorf(protocol.NotFound, "Debian's index for %s cannot satisfy %s: it needs %.300s", s.x.Arch, p.Name, group).
		WithHint("%s", s.whyNot(list))
}

// whyNot explains why no alternative can be chosen.
func (s *solver) whyNot(list []relation) string {
	for _, r := range list {
		if p := s.chosen[r.name]; p != nil {
			return fmt.Sprintf("%s is locked at %s: refresh the lock file with nuka lock", p.Name, p.Version)
		}
	}
	return "the mirror may be in the middle of an update: try again later"
}

// candidate returns the package that Solve takes for a relation, or nil.
func (s *solver) candidate(r relation) *Package {
	if !s.here(r) {
		return nil
	}
	if p := s.x.packages[r.name]; p != nil && s.chosen[r.name] == nil && r.allows(p.Version) {
		return p
	}
	var best *Package
	for _, c := range s.x.providers(r.name) {
		if !r.allows(c.version) || s.chosen[c.pkg.Name] != nil {
			continue
		}
		if best == nil || slices.Contains(s.prefer, c.pkg.Name) && !slices.Contains(s.prefer, best.Name) {
			best = c.pkg
		}
	}
	return best
}

// here reports whether a relation can be about packages of the index's architecture.
func (s *solver) here(r relation) bool {
	return r.arch == "" || r.arch == "any" || r.arch == "native" || r.arch == s.x.Arch || r.arch == "all"
}

// satisfier returns the name of a chosen package that satisfies a relation, or "".
func (s *solver) satisfier(r relation) string {
	if !s.here(r) {
		return ""
	}
	if p := s.chosen[r.name]; p != nil && r.allows(p.Version) {
		return p.Name
	}
	for _, c := range s.x.providers(r.name) {
		if p := s.chosen[c.pkg.Name]; p != nil && r.allows(c.version) {
			return p.Name
		}
	}
	return ""
}

// edges returns the chosen packages that satisfy the dependencies of p: for each the first alternative that was chosen.
func (s *solver) edges(p *Package) (out []string) {
	for group := range relations(p.preDepends + "," + p.depends) {
		for _, r := range alternatives(group) {
			if name := s.satisfier(r); name != "" {
				if name != p.Name {
					out = append(out, name)
				}
				break
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// conflicts returns an error about the chosen packages that cannot be together.
func (s *solver) conflicts() error {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(s.chosen)) {
		p := s.chosen[name]
		for part := range relations(p.conflicts + "," + p.breaks) {
			r := parseRelation(part)
			if !s.here(r) {
				continue
			}
			if q := s.chosen[r.name]; q != nil && q != p && r.allows(q.Version) {
				found = append(found, p.Name+" excludes "+r.String())
			}
			for _, c := range s.x.providers(r.name) {
				if q := s.chosen[c.pkg.Name]; q != nil && q != p && c.pkg.Name != r.name && r.allows(c.version) {
					found = append(found, fmt.Sprintf("%s excludes %s, which %s provides", p.Name, r, q.Name))
				}
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	found = slices.Compact(found)
	return protocol.Errorf(protocol.Invalid, "these packages cannot be together: %s", strings.Join(found[:min(len(found), 5)], "; ")).
		WithHint("leave one of the roots out, or lock them apart")
}
