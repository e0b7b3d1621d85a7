package apt

import (
	"context"
	"slices"
)

// Pins returns pins of packages that a lock file does not have, and of all that they need beyond it, sorted by name. They fit to the lock: its packages keep
// their versions. It answers from the index that was downloaded last if that has all names, and downloads otherwise, or if fresh is true.
//
// Names that the lock has are not among the pins. If a package needs a newer version than the lock has, or excludes one of its packages, that is an error.
func (l *Loader) Pins(ctx context.Context, suites []Suite, components []string, lock *Lock, names []string, fresh bool) ([]Pin, error) {
	have := map[string]bool{}
	for _, p := range lock.Packages {
		have[p.Name] = true
	}
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return have[name] })
	if len(names) == 0 {
		return nil, nil
	}
	o := &SolveOptions{Keep: lock.Packages}
	if !fresh || l.Getter == nil {
		kept := *l
		kept.Getter = nil
		pins, err := kept.pins(ctx, suites, components, lock.Arch, names, o)
		if err == nil || l.Getter == nil || ctx.Err() != nil {
			return pins, err
		}
	}
	return l.pins(ctx, suites, components, lock.Arch, names, o)
}

func (l *Loader) pins(ctx context.Context, suites []Suite, components []string, arch string, names []string, o *SolveOptions) ([]Pin, error) {
	x, err := l.Open(ctx, suites, components, arch)
	if err != nil {
		return nil, err
	}
	return x.Solve(names, o)
}

// Open returns the index of some suites.
func (l *Loader) Open(ctx context.Context, suites []Suite, components []string, arch string) (*Index, error) {
	var releases []*Signed
	for _, s := range suites {
		r, err := l.Release(ctx, s)
		if err != nil {
			return nil, err
		}
		releases = append(releases, r)
	}
	return l.Index(ctx, releases, components, arch)
}
