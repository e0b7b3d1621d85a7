package collect

import (
	"context"
	"errors"
	"slices"

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/pir/cid"
)

// A graph has the dead nodes and blobs, each with the number of dead nodes that need it. An object without any may go.
type graph struct {
	needed map[key]int32
	leaves map[key][]cid.CID // of each dead blob of several leaves: the leaves whose records name it
	free   []cid.CID         // nodes that may go
	blobs  []cid.CID         // blobs that may go
}

// repoint changes records of leaves of live files that name dead blobs: the live file has the same leaf.
func (r *run) repoint(ctx context.Context) error {
	moving := map[key]bool{}
	for row, err := range r.Index.Scan(index.Leaves.Key()) {
		if err != nil {
			return err
		}
		p, err := index.DecodePlace(row.Value)
		if err != nil {
			return err
		}
		k := key(append([]byte{leafKind}, row.Key[1:]...))
		if r.m.has(k) && !r.m.has(blobKey(p.Blob)) {
			moving[k] = true
		}
	}
	if len(moving) == 0 {
		return nil
	}
	return r.batches(ctx, index.Nodes, func(c *index.Changes, k []byte) error {
		file, err := cid.New(cid.DagPB, [32]byte(k[1:]))
		if err != nil || !r.m.has(keyOf(nodeKind, file)) {
			return err
		}
		n, err := r.Blocks.Node(file)
		if err != nil || n.Kind != cid.KindFile {
			return disk.UnlessAbsent(err)
		}
		blob := disk.BlobOf(file, n)
		if size, err := r.Blocks.BlobSize(blob); err != nil || size != n.Size {
			return disk.UnlessAbsent(err)
		}
		_, err = r.eachLeaf(n, 0, func(leaf cid.CID, offset, size int64) error {
			if moving[keyOf(leafKind, leaf)] && len(n.Links) > 1 {
				c.Set(index.LeafKey(leaf), index.Place{Blob: blob, Offset: offset, Size: size}.Encode())
			}
			return nil
		})
		return disk.UnlessAbsent(err)
	})
}

// eachLeaf calls fn for each leaf of a file, and returns the offset behind them.
func (r *run) eachLeaf(n *cid.Node, offset int64, fn func(leaf cid.CID, offset, size int64) error) (int64, error) {
	for i, l := range n.Links {
		if l.CID.Codec() == cid.Raw {
			if err := fn(l.CID, offset, n.BlockSizes[i]); err != nil {
				return 0, err
			}
			offset += n.BlockSizes[i]
			continue
		}
		child, err := r.Blocks.Node(l.CID)
		if err != nil {
			return 0, err
		}
		if offset, err = r.eachLeaf(child, offset, fn); err != nil {
			return 0, err
		}
	}
	return offset, nil
}

// trees removes dead nodes and blobs, each after everything that needs it. The files of several batches go together, since their records must be gone durably before.
func (r *run) trees(ctx context.Context) error {
	g := &graph{needed: map[key]int32{}, leaves: map[key][]cid.CID{}}
	if err := r.fill(ctx, g); err != nil {
		return err
	}
	together := filesTogether
	if r.Dir.CheckSpace() != nil {
		together = batchSize // the index needs their room
	}
	var gone []deadBlob // whose records are removed
	remove := func() error {
		err := r.removeFiles(gone)
		r.disown(gone)
		gone = nil
		return err
	}
	for len(g.free)+len(g.blobs) > 0 {
		nodes := take(&g.free, batchSize)
		blobs := take(&g.blobs, batchSize)
		below := make([][]cid.CID, len(nodes)) // nodes and blobs that each needs
		for i, c := range nodes {
			n, err := r.Blocks.Node(c)
			if err == nil {
				below[i], err = r.needs(c, n)
			}
			if disk.UnlessAbsent(err) != nil {
				return errors.Join(err, remove())
			}
		}
		var files []deadBlob
		err := r.batch(ctx, func(c *index.Changes) error {
			for i, node := range nodes {
				if r.m.has(keyOf(nodeKind, node)) {
					continue // leased meanwhile, and so is everything below it
				}
				c.Delete(index.NodeKey(node))
				g.without(below[i])
			}
			var err error
			files, err = r.deleteBlobs(c, g, blobs)
			return err
		})
		if err != nil {
			r.disown(files)
			return errors.Join(err, remove())
		}
		if gone = append(gone, files...); len(gone) < together {
			continue
		}
		if err := remove(); err != nil {
			return err
		}
	}
	return remove()
}

func (r *run) disown(files []deadBlob) {
	for _, b := range files {
		r.Dir.Disown(b.name)
	}
}

// take takes up to n objects off the end of a list: those found last, so that files go early.
func take(list *[]cid.CID, n int) []cid.CID {
	at := max(0, len(*list)-n)
	out := slices.Clone((*list)[at:])
	*list = (*list)[:at]
	return out
}

// needs returns the nodes and blobs that a node needs, each as often as it needs it. A blob has the codec of its name; to tell them
// apart, nodes come first, and then a zero CID.
func (r *run) needs(c cid.CID, n *cid.Node) ([]cid.CID, error) {
	var nodes, blobs []cid.CID
	if n.Kind == cid.KindFile {
		blobs = append(blobs, disk.BlobOf(c, n))
	}
	for _, l := range n.Links {
		if l.CID.Codec() == cid.DagPB {
			nodes = append(nodes, l.CID)
			continue
		}
		blobs = append(blobs, l.CID)
		p, err := placeOf(r.Index, l.CID)
		if err != nil {
			return nil, err
		}
		if !p.Blob.IsZero() {
			blobs = append(blobs, p.Blob)
		}
	}
	return append(append(nodes, cid.CID{}), blobs...), nil
}

// without notes that an object that needed others is gone.
func (g *graph) without(below []cid.CID) {
	kind := func(c cid.CID) key { return keyOf(nodeKind, c) }
	list := &g.free
	for _, c := range below {
		if c.IsZero() {
			kind, list = blobKey, &g.blobs
			continue
		}
		k := kind(c)
		n, ok := g.needed[k]
		if !ok {
			continue // live, or not in the store
		}
		if g.needed[k] = n - 1; n == 1 {
			*list = append(*list, c)
		}
	}
}

// fill finds the dead nodes and blobs.
func (r *run) fill(ctx context.Context, g *graph) error {
	blobs, err := r.dead(ctx, r.m)
	if err != nil {
		return err
	}
	for _, b := range blobs {
		g.needed[blobKey(b.name)] = 0
	}
	for row, err := range r.Index.Scan(index.Leaves.Key()) {
		if err != nil {
			return err
		}
		p, err := index.DecodePlace(row.Value)
		if err != nil {
			return err
		}
		k := blobKey(p.Blob)
		if _, ok := g.needed[k]; !ok {
			continue
		}
		leaf, err := cid.New(cid.Raw, [32]byte(row.Key[1:]))
		if err != nil {
			return err
		}
		g.leaves[k] = append(g.leaves[k], leaf)
	}
	var nodes []cid.CID
	for row, err := range r.Index.Scan(index.Nodes.Key()) {
		if err != nil {
			return err
		}
		c, err := cid.New(cid.DagPB, [32]byte(row.Key[1:]))
		if err != nil {
			return err
		}
		if !r.m.has(keyOf(nodeKind, c)) {
			nodes = append(nodes, c)
			g.needed[keyOf(nodeKind, c)] += 0
		}
	}
	for _, c := range nodes {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Blocks.Node(c)
		if err != nil {
			if disk.UnlessAbsent(err) != nil {
				return err
			}
			continue
		}
		below, err := r.needs(c, n)
		if err != nil {
			return err
		}
		kind := func(c cid.CID) key { return keyOf(nodeKind, c) }
		for _, b := range below {
			if b.IsZero() {
				kind = blobKey
				continue
			}
			if _, ok := g.needed[kind(b)]; ok {
				g.needed[kind(b)]++
			}
		}
	}
	for _, c := range nodes {
		if g.needed[keyOf(nodeKind, c)] == 0 {
			g.free = append(g.free, c)
		}
	}
	for _, b := range blobs {
		if g.needed[blobKey(b.name)] == 0 {
			g.blobs = append(g.blobs, b.name)
		}
	}
	return nil
}

// deleteBlobs deletes the records of blobs that nothing needs, and those of their leaves, and returns the blobs, whose names it owns.
func (r *run) deleteBlobs(c *index.Changes, g *graph, blobs []cid.CID) (gone []deadBlob, err error) {
next:
	for _, blob := range blobs {
		k := blobKey(blob)
		if r.m.has(k) {
			continue
		}
		if there, err := r.Index.Has(index.BlobKey(blob)); err != nil {
			return gone, err
		} else if !there {
			continue // set aside meanwhile
		}
		var leaves []cid.CID
		for _, leaf := range g.leaves[k] {
			p, err := placeOf(r.Index, leaf)
			if err != nil {
				return gone, err
			}
			if p.Blob != blob {
				continue
			}
			if r.m.has(keyOf(leafKind, leaf)) {
				continue next // a file that was leased meanwhile has the leaf: the next collection finds out
			}
			leaves = append(leaves, leaf)
		}
		if !r.Dir.Own(blob) {
			continue // somebody makes the file again that was missing
		}
		for _, leaf := range leaves {
			c.Delete(index.LeafKey(leaf))
		}
		c.Delete(index.BlobKey(blob))
		gone = append(gone, deadBlob{blob, r.room(blob)})
	}
	return gone, nil
}
