package apt

import (
	"fmt"
	"maps"
	"slices"

	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

// RequestFile is the name of the file in which an author writes what the lock files beside it are to hold.
const RequestFile = "lock.nuon"

// A Request is what an author wants to be locked.
type Request struct {
	Suites     []string            // code names
	Components []string            // normally main
	Archs      []string            // one lock file each
	Roots      map[string][]string // packages, by the name of the group; all are locked together
	Prefer     []string            // packages that are taken where several provide a name
	Sonames    bool                // keep a Sonames table beside each lock file
}

// ParseRequest reads a request file: a NUON record with the fields suites, archs and roots, and perhaps components, prefer and sonames.
func ParseRequest(text []byte) (*Request, error) {
	v, err := nuon.Parse(text)
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "%v", err)
	}
	rec, ok := v.(nuon.Record)
	if !ok {
		return nil, protocol.Errorf(protocol.Invalid, "want a record").WithHint("such as {suites: [trixie], archs: [amd64], roots: {base: [libc6]}}")
	}
	r := &Request{Components: []string{"main"}, Roots: map[string][]string{}}
	for _, name := range slices.Sorted(maps.Keys(rec)) {
		switch name {
		case "suites":
			r.Suites, err = words(name, rec[name], isWord)
		case "components":
			r.Components, err = words(name, rec[name], isWord)
		case "archs":
			r.Archs, err = words(name, rec[name], isWord)
		case "prefer":
			r.Prefer, err = words(name, rec[name], IsName)
		case "sonames":
			if r.Sonames, ok = rec[name].(bool); !ok {
				err = fmt.Errorf("sonames: want true or false")
			}
		case "roots":
			groups, _ := rec[name].(nuon.Record)
			for group, list := range groups {
				if !isWord(group) {
					err = fmt.Errorf("roots: %.100q is no name of a group", group)
				} else if r.Roots[group], err = words("roots of "+group, list, IsName); err != nil {
					break
				}
			}
		default:
			err = fmt.Errorf("the field %.100q is unknown", name)
		}
		if err != nil {
			return nil, protocol.Errorf(protocol.Invalid, "%v", err)
		}
	}
	if len(r.Suites) == 0 || len(r.Archs) == 0 || len(r.Roots) == 0 || len(r.Components) == 0 {
		return nil, protocol.Errorf(protocol.Invalid, "suites, archs or roots are missing or empty")
	}
	return r, nil
}

func words(field string, v any, is func(string) bool) (out []string, err error) {
	list, ok := v.(nuon.List)
	if !ok {
		return nil, fmt.Errorf("%s: want a list of strings", field)
	}
	for _, e := range list {
		s, _ := e.(string)
		if !is(s) {
			return nil, fmt.Errorf("%s: %.100v is no name", field, e)
		}
		out = append(out, s)
	}
	return out, nil
}

// All returns the roots of all groups, each once, sorted.
func (r *Request) All() (all []string) {
	for _, names := range r.Roots {
		all = append(all, names...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Lock chooses the packages of the request from an index.
func (r *Request) Lock(x *Index) (*Lock, error) {
	pins, err := x.Solve(r.All(), &SolveOptions{Prefer: r.Prefer})
	if err != nil {
		return nil, err
	}
	return &Lock{Arch: x.Arch, Suites: x.Suites, Roots: r.Roots, Packages: pins}, nil
}

// Request returns the request that l itself keeps: its suites, its architecture and its roots.
func (l *Lock) Request() *Request {
	r := &Request{Components: []string{"main"}, Archs: []string{l.Arch}, Roots: l.Roots}
	for _, s := range l.Suites {
		r.Suites = append(r.Suites, s.Name)
	}
	return r
}
