package cas

import (
	"context"
	"fmt"
	"iter"

	"github.com/MordragT/nuka/pir/cid"
)

// Folder yields what the directory that c names holds, and nothing below it: each path is a name, in the order of their bytes.
// An error ends it; that c names no directory is one.
func (s *Store) Folder(ctx context.Context, c cid.CID) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := s.enter(); err != nil {
			yield(Entry{}, fmt.Errorf("folder %s: %w", c, err))
			return
		}
		defer s.leave()
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
	n, err := s.node(c)
	if err != nil {
		return nil, err
	}
	if n.Kind != cid.KindDir && n.Kind != cid.KindShard {
		return nil, fmt.Errorf("it is a %s, not a directory", n.Kind)
	}
	return s.names(n, 0)
}
