package cas

import (
	"context"
	"fmt"
	"iter"

	"github.com/MordragT/nuka/pir/cid"
)

// Walk calls fn for every block below root and for root itself, each once: directories, links, files and leaves.
// Leaves are not read. ErrNotFound when a node is not in the store.
func (s *Store) Walk(ctx context.Context, root cid.CID, fn func(cid.CID) error) error {
	if err := s.calls.Enter(); err != nil {
		return fmt.Errorf("walk %s: %w", root, err)
	}
	defer s.calls.Leave()
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
		n, err := s.blocks.Node(c)
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

// Nodes yields root and every node below it, each once and after one that links to it, compared with its hash.
// Leaves are neither read nor yielded: a root that is a leaf has no nodes. An error ends it; ErrNotFound for a missing node.
func (s *Store) Nodes(ctx context.Context, root cid.CID) iter.Seq2[cid.Block, error] {
	return func(yield func(cid.Block, error) bool) {
		if err := s.calls.Enter(); err != nil {
			yield(cid.Block{}, fmt.Errorf("nodes of %s: %w", root, err))
			return
		}
		defer s.calls.Leave()
		if root.Codec() != cid.DagPB {
			return
		}
		seen := map[[32]byte]bool{root.Digest(): true}
		queue := []cid.CID{root}
		for len(queue) > 0 {
			c := queue[0]
			queue = queue[1:]
			b, err := s.blocks.NodeBytes(c)
			if e := ctx.Err(); err == nil {
				err = e
			}
			var n *cid.Node
			if err == nil {
				n, err = cid.Decode(b)
			}
			if err != nil {
				yield(cid.Block{}, fmt.Errorf("nodes of %s: %w", root, err))
				return
			}
			if !yield(cid.Block{CID: c, Data: b}, nil) {
				return
			}
			for _, l := range n.Links {
				if d := l.CID.Digest(); l.CID.Codec() == cid.DagPB && !seen[d] {
					seen[d] = true
					queue = append(queue, l.CID)
				}
			}
		}
	}
}

// Size returns the length of the block that c names. It does not look at the bytes. ErrNotFound, ErrDamaged.
func (s *Store) Size(c cid.CID) (int64, error) {
	if err := s.calls.Enter(); err != nil {
		return 0, fmt.Errorf("size of %s: %w", c, err)
	}
	defer s.calls.Leave()
	size, err := s.blocks.Len(c)
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", c, err)
	}
	return size, nil
}
