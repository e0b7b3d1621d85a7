package cas

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// A Root is a name that keeps a tree from collection.
type Root struct {
	Name    string // a path such as "profile/NAME/NUMBER"
	CID     cid.CID
	PID     pir.PID   // the PID that was realized to CID; zero if unknown
	Created time.Time // whole seconds
}

// PutRoot is ChangeRoots with one root to store.
func (s *Store) PutRoot(ctx context.Context, r Root) error { return s.ChangeRoots(ctx, []Root{r}, nil) }

// DeleteRoot is ChangeRoots with one root to remove.
func (s *Store) DeleteRoot(ctx context.Context, name string) error {
	return s.ChangeRoots(ctx, nil, []string{name})
}

// ChangeRoots stores and removes roots in one step: all of it or nothing, and it is on disk when ChangeRoots returns.
// A root replaces one of the same name, and the store must hold its CID. A name that is put and removed is put.
// ErrNotFound: the store does not hold a CID, or has no root of a name to remove. Trees of removed roots stay until a collection.
func (s *Store) ChangeRoots(ctx context.Context, put []Root, remove []string) error {
	if err := s.calls.Enter(); err != nil {
		return fmt.Errorf("change roots: %w", err)
	}
	defer s.calls.Leave()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("change roots: %w", err)
	}
	return s.index.Update(index.Durable, func(c *index.Changes) error {
		for _, name := range remove {
			k := index.RootKey(name)
			ok, err := s.index.Has(k)
			if err == nil && !ok {
				err = ErrNotFound
			}
			if err != nil {
				return fmt.Errorf("delete root %q: %w", name, err)
			}
			c.Delete(k)
		}
		for _, r := range put {
			if err := s.putRoot(c, r); err != nil {
				return fmt.Errorf("put root %q: %w", r.Name, err)
			}
		}
		return nil
	})
}

// putRoot adds a root to the changes of an update.
func (s *Store) putRoot(c *index.Changes, r Root) error {
	if err := index.CheckRootName(r.Name); err != nil {
		return err
	}
	held, err := s.blocks.Has(r.CID)
	if err != nil {
		return err
	}
	if !held {
		return fmt.Errorf("%s: %w", r.CID, ErrNotFound)
	}
	v, err := index.Root{CID: r.CID, PID: r.PID, Created: r.Created}.Encode()
	if err != nil {
		return err
	}
	c.Set(index.RootKey(r.Name), v)
	return s.dir.CheckSpace()
}

// Roots yields the roots in the order of their names.
func (s *Store) Roots() iter.Seq2[Root, error] {
	return func(yield func(Root, error) bool) {
		for row, err := range s.scan(index.Roots.Key()) {
			var r index.Root
			if err == nil {
				r, err = index.DecodeRoot(row.Value)
			}
			if err != nil {
				yield(Root{}, fmt.Errorf("roots: %w", err))
				return
			}
			if !yield(Root{Name: string(row.Key[1:]), CID: r.CID, PID: r.PID, Created: r.Created}, nil) {
				return
			}
		}
	}
}
