package sharing

import (
	"context"
	"iter"
	"strings"

	"github.com/MordragT/nuka/node/config"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// Publish lets every peer have the blocks of a tree of a feed or a package set, as the root below protocol.RootPublished does after a restart.
func (s *Sharing) Publish(ctx context.Context, root cid.CID) error {
	return s.addBlocks(ctx, config.Public, root)
}

// Published yields the trees of feeds and package sets that the node has, each with its signer.
func (s *Sharing) Published() iter.Seq2[PublishedTree, error] {
	return func(yield func(PublishedTree, error) bool) {
		for root, err := range s.store.Roots() {
			if err != nil {
				yield(PublishedTree{}, err)
				return
			}
			rest, ok := strings.CutPrefix(root.Name, protocol.RootPublished)
			parts := strings.Split(rest, "/")
			if !ok || len(parts) != 3 {
				continue
			}
			key, err := protocol.ParseKey(parts[1])
			if err == nil && !yield(PublishedTree{root.Name, key, root.CID}, nil) {
				return
			}
		}
	}
}

// A PublishedTree is the tree of a feed or a package set that the node has.
type PublishedTree struct {
	Name   string // of its root in the store
	Signer protocol.Key
	Root   cid.CID
}
