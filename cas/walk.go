package cas

import (
	"context"
	"fmt"

	"github.com/MordragT/nuka/pir/cid"
)

// Walk calls fn for every block below root and for root itself, each once: directories, links, files and leaves.
// Leaves are not read. ErrNotFound when a node is not in the store.
func (s *Store) Walk(ctx context.Context, root cid.CID, fn func(cid.CID) error) error {
	if err := s.enter(); err != nil {
		return fmt.Errorf("walk %s: %w", root, err)
	}
	defer s.leave()
	seen := map[cid.CID]bool{root: true}
	for stack := []cid.CID{root}; len(stack) > 0; {
		c := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(c); err != nil {
			return err
		}
		if c.Codec() != cid.DagPB {
			continue
		}
		n, err := s.node(c)
		if err != nil {
			return fmt.Errorf("walk %s: %w", root, err)
		}
		for _, l := range n.Links {
			if !seen[l.CID] {
				seen[l.CID] = true
				stack = append(stack, l.CID)
			}
		}
	}
	return nil
}
