package receive

import (
	"context"
	"fmt"
	"slices"

	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/pir/cid"
)

// A nodePlace is where a node is.
type nodePlace struct {
	offset int64 // in the log of nodes, or one of the values below
	size   int32
	level  int32 // links from the root
}

const (
	inIndex = -1
	wanted  = -2
)

func (r *Receiving) putNode(b cid.Block) error {
	place, ok := r.nodePlace(b.CID)
	switch {
	case !ok:
		return ErrUnwanted
	case place.offset != wanted:
		return nil
	case len(b.Data) > cid.MaxNode || cid.Sum(cid.DagPB, b.Data) != b.CID:
		return ErrWrongBlock
	}
	n, err := cid.Decode(b.Data)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadTree, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if place = r.nodes[b.CID.Digest()]; place.offset != wanted {
		return nil // another caller was faster
	}
	if err := r.makeFolder(); err != nil {
		return err
	}
	place, err = r.logNode(b.Data, place)
	if err != nil {
		return err
	}
	if err := r.addNode(b.CID, n, place); err != nil {
		return err
	}
	if r.missing > 0 {
		return nil
	}
	if err := r.plan(context.Background()); err != nil {
		// The disk failed: the block is wanted as before, so putting it again tries again.
		r.wantAgain(b.CID)
		return err
	}
	return nil
}

// wantAgain wants a known node again. The caller holds mu.
func (r *Receiving) wantAgain(c cid.CID) {
	p := r.nodes[c.Digest()]
	if p.offset == wanted {
		return
	}
	r.nodes[c.Digest()] = nodePlace{offset: wanted, level: p.level}
	r.missing++
	if !slices.Contains(r.frontier, c) {
		r.frontier = append(r.frontier, c)
	}
}

func (r *Receiving) nodePlace(c cid.CID) (nodePlace, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.nodes[c.Digest()]
	return p, ok
}

// addNode notes that a node is known and wants the nodes that it links to. The caller holds mu.
func (r *Receiving) addNode(c cid.CID, n *cid.Node, place nodePlace) error {
	if n.Kind == cid.KindFile && n.Size > r.limits.Bytes {
		return fmt.Errorf("%w: a file of %d bytes, and %d may come", cid.ErrLimit, n.Size, r.limits.Bytes)
	}
	// A directory may be in eight shards, one in another, and a file have some levels of its own.
	if int(place.level) > 9*(r.limits.Depth+2) {
		return fmt.Errorf("%w: more than %d directories deep", cid.ErrLimit, r.limits.Depth)
	}
	for i, l := range n.Links {
		if n.Kind != cid.KindFile {
			r.links++
			continue
		}
		if l.CID.Codec() != cid.DagPB {
			continue
		}
		r.links++
		// This bounds the nodes of a file by its size before all of them are received.
		if i < len(n.Links)-1 && n.BlockSizes[i]%(cid.Width*cid.LeafSize) != 0 {
			return fmt.Errorf("%w: part %d of a file has %d bytes", ErrBadTree, i, n.BlockSizes[i])
		}
	}
	if r.links > 2*r.limits.Entries {
		return fmt.Errorf("%w: more than %d entries", cid.ErrLimit, r.limits.Entries)
	}
	if r.coming != nil {
		blocks := make([]cid.CID, len(n.Links))
		for i, l := range n.Links {
			blocks[i] = l.CID
		}
		r.coming(blocks)
	}
	r.nodes[c.Digest()] = place
	r.missing--
	for _, l := range n.Links {
		if l.CID.Codec() != cid.DagPB {
			continue
		}
		if err := r.wantNode(l.CID, place.level+1); err != nil {
			return err
		}
	}
	return nil
}

// wantNode wants a node unless it is known. The caller holds mu.
func (r *Receiving) wantNode(c cid.CID, level int32) error {
	if _, ok := r.nodes[c.Digest()]; ok {
		return nil
	}
	r.lease.Keep(c)
	// The blocks below a node in the index are in the store as well: they were committed with it.
	known, err := r.s.Index.Has(index.NodeKey(c))
	if err != nil {
		return err
	}
	if known {
		r.nodes[c.Digest()] = nodePlace{offset: inIndex, level: level}
		return nil
	}
	r.nodes[c.Digest()] = nodePlace{offset: wanted, level: level}
	r.frontier = append(r.frontier, c)
	r.missing++
	return nil
}
