package cas

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/MordragT/nuka/pir/cid"
)

// Folder yields the entries of the directory that c names, and nothing below them: each path is a name, in the order of their bytes.
// An error ends it. It is an error if c names no directory.
func (s *Store) Folder(ctx context.Context, c cid.CID) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := s.calls.Enter(); err != nil {
			yield(Entry{}, fmt.Errorf("folder %s: %w", c, err))
			return
		}
		defer s.calls.Leave()
		links, err := s.folder(c)
		for _, l := range links {
			var e Entry
			if err = ctx.Err(); err == nil {
				e, err = s.entry(l.Name, l)
			}
			if err != nil {
				break
			}
			if !yield(e, nil) {
				return
			}
		}
		if err != nil {
			yield(Entry{}, fmt.Errorf("folder %s: %w", c, err))
		}
	}
}

func (s *Store) folder(c cid.CID) ([]cid.Link, error) {
	n, err := s.blocks.Node(c)
	if err != nil {
		return nil, err
	}
	if n.Kind != cid.KindDir && n.Kind != cid.KindShard {
		return nil, fmt.Errorf("it is a %s, not a directory", n.Kind)
	}
	return s.names(n, 0)
}

// entry describes the target of a link. It does not look for the blob of a file.
func (s *Store) entry(path string, l cid.Link) (Entry, error) {
	e := Entry{Path: path, Kind: File, CID: l.CID, Size: l.Tsize}
	if l.CID.Codec() == cid.Raw {
		return e, nil
	}
	n, err := s.blocks.Node(l.CID)
	if err != nil {
		return e, err
	}
	e.describe(n)
	return e, nil
}

func (e *Entry) describe(n *cid.Node) {
	e.Kind, e.Size = Dir, 0
	switch n.Kind {
	case cid.KindFile:
		e.Kind, e.Size, e.Exec = File, n.Size, n.Exec
	case cid.KindSymlink:
		e.Kind, e.Target = Symlink, n.Target
	}
}

// names returns the links of a directory, also of one in shards, in the order of their names.
func (s *Store) names(n *cid.Node, depth int) ([]cid.Link, error) {
	if n.Kind == cid.KindDir {
		return n.Links, nil
	}
	var links []cid.Link
	if err := s.shardNames(n, depth, &links); err != nil {
		return nil, err
	}
	slices.SortFunc(links, func(a, b cid.Link) int { return strings.Compare(a.Name, b.Name) })
	return links, nil
}

func (s *Store) shardNames(n *cid.Node, depth int, links *[]cid.Link) error {
	if depth >= len(cid.ShardPath("")) {
		return errors.New("shards are too deep")
	}
	for _, l := range n.Links {
		if len(l.Name) > 2 {
			// A name that is not where its hash says would be listed and never found.
			if cid.ShardPath(l.Name[2:])[depth] != l.Name[:2] {
				return fmt.Errorf("name %q is in the wrong place", l.Name[2:])
			}
			l.Name = l.Name[2:]
			*links = append(*links, l)
			continue
		}
		child, err := s.blocks.Node(l.CID)
		if err != nil {
			return err
		}
		if child.Kind != cid.KindShard {
			return fmt.Errorf("a %s where a shard is due", child.Kind)
		}
		if err := s.shardNames(child, depth+1, links); err != nil {
			return err
		}
	}
	return nil
}

// child finds a name in a directory.
func (s *Store) child(n *cid.Node, name string) (cid.Link, error) {
	if n.Kind == cid.KindDir {
		i, ok := slices.BinarySearchFunc(n.Links, name, func(l cid.Link, name string) int { return strings.Compare(l.Name, name) })
		if !ok {
			return cid.Link{}, ErrNotFound
		}
		return n.Links[i], nil
	}
	for _, prefix := range cid.ShardPath(name) {
		if n.Kind != cid.KindShard {
			return cid.Link{}, ErrNotFound
		}
		i := slices.IndexFunc(n.Links, func(l cid.Link) bool { return l.Name[:2] == prefix })
		if i < 0 {
			return cid.Link{}, ErrNotFound
		}
		l := n.Links[i]
		if len(l.Name) > 2 {
			if l.Name[2:] != name {
				return cid.Link{}, ErrNotFound
			}
			l.Name = name
			return l, nil
		}
		var err error
		if n, err = s.blocks.Node(l.CID); err != nil {
			return cid.Link{}, err
		}
	}
	return cid.Link{}, ErrNotFound
}
