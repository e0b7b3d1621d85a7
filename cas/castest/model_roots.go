package castest

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/MordragT/nuka/cas"
)

// PutRoot implements Store.
func (m *Model) PutRoot(ctx context.Context, r cas.Root) error {
	return m.ChangeRoots(ctx, []cas.Root{r}, nil)
}

// DeleteRoot implements Store.
func (m *Model) DeleteRoot(ctx context.Context, name string) error {
	return m.ChangeRoots(ctx, nil, []string{name})
}

// ChangeRoots implements Store.
func (m *Model) ChangeRoots(_ context.Context, put []cas.Root, remove []string) error {
	roots := maps.Clone(m.roots)
	for _, name := range remove {
		if _, ok := m.roots[name]; !ok {
			return cas.ErrNotFound
		}
		delete(roots, name)
	}
	for _, r := range put {
		if _, ok := m.blocks[r.CID]; !ok {
			return cas.ErrNotFound
		}
		if r.Name == "" || strings.ToValidUTF8(r.Name, "") != r.Name {
			return errors.New("bad name")
		}
		roots[r.Name] = r
	}
	m.roots = roots
	return nil
}

// Roots implements Store.
func (m *Model) Roots() iter.Seq2[cas.Root, error] {
	return func(yield func(cas.Root, error) bool) {
		for _, name := range slices.Sorted(maps.Keys(m.roots)) {
			if !yield(m.roots[name], nil) {
				return
			}
		}
	}
}
