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

// PutRoot stores a root, replacing one of the same name. The store must hold its CID.
// It is on disk when PutRoot returns.
func (s *Store) PutRoot(ctx context.Context, r Root) error {
	if err := s.calls.Enter(); err != nil {
		return fmt.Errorf("put root %q: %w", r.Name, err)
	}
	defer s.calls.Leave()
	if err := s.putRoot(ctx, r); err != nil {
		return fmt.Errorf("put root %q: %w", r.Name, err)
	}
	return nil
}

func (s *Store) putRoot(ctx context.Context, r Root) error {
	if err := ctx.Err(); err != nil {
		return err
	}
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
	if err := s.dir.CheckSpace(); err != nil {
		return err
	}
	c := s.index.Change()
	c.Set(index.RootKey(r.Name), v)
	return s.index.Commit(c, index.Durable)
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

// DeleteRoot removes a root; its tree stays. ErrNotFound.
func (s *Store) DeleteRoot(ctx context.Context, name string) error {
	if err := s.calls.Enter(); err != nil {
		return fmt.Errorf("delete root %q: %w", name, err)
	}
	defer s.calls.Leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.index.Update(index.Durable, func(c *index.Changes) error {
		k := index.RootKey(name)
		ok, err := s.index.Has(k)
		if err == nil && !ok {
			err = ErrNotFound
		}
		c.Delete(k)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete root %q: %w", name, err)
	}
	return nil
}
