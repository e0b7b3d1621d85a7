package ecosystem

import (
	"maps"
	"slices"
	"strings"
)

// A Change is a difference between two recordings in the versions of one package.
type Change struct {
	Package string
	// Before and After are its versions, sorted by bytes and divided by ", ". "" is none. If they are the same, the bytes of a file of that version changed.
	Before, After string
}

// String returns the change as a line: "+ name 2.0", "- name 1.0", "~ name 1.0 -> 2.0", or "~ name 1.0: other bytes than before".
func (c Change) String() string {
	switch {
	case c.Before == "":
		return "+ " + c.Package + " " + c.After
	case c.After == "":
		return "- " + c.Package + " " + c.Before
	case c.Before == c.After:
		return "~ " + c.Package + " " + c.After + ": other bytes than before"
	}
	return "~ " + c.Package + " " + c.Before + " -> " + c.After
}

// Changes returns what is different in after, sorted by package. A nil recording has no packages. The names of packages of the distribution begin with "deb ".
func Changes(before, after *Recording) []Change {
	old, now := versionsOf(before), versionsOf(after)
	var out []Change
	names := maps.Clone(old)
	maps.Copy(names, now)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		c := Change{Package: name, Before: old[name].join(), After: now[name].join()}
		if c.Before != c.After || old[name].differs(now[name]) {
			out = append(out, c)
		}
	}
	return out
}

// releases maps the versions of a package to its files, and those to their hashes.
type releases map[string]map[string]string

func (r releases) join() string { return strings.Join(slices.Sorted(maps.Keys(r)), ", ") }

// differs reports whether a file of both has other bytes in now.
func (r releases) differs(now releases) bool {
	for v, files := range r {
		for request, hash := range files {
			if h, ok := now[v][request]; ok && h != hash {
				return true
			}
		}
	}
	return false
}

func versionsOf(r *Recording) map[string]releases {
	all := map[string]releases{}
	if r == nil {
		return all
	}
	for _, list := range [][]SystemPackage{r.System, r.BuildSystem} {
		for _, p := range list {
			all["deb "+p.Name] = releases{p.Version: {p.Path: p.Hash.String()}}
		}
	}
	for i := range r.Answers {
		a := &r.Answers[i]
		if a.Kept == nil || a.Kept.Package == "" {
			continue
		}
		of := all[a.Kept.Package]
		if of == nil {
			of = releases{}
			all[a.Kept.Package] = of
		}
		if of[a.Kept.Version] == nil {
			of[a.Kept.Version] = map[string]string{}
		}
		of[a.Kept.Version][a.Request.String()] = a.Kept.Hash.String()
	}
	return all
}
