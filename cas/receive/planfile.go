package receive

import (
	"errors"
	"fmt"

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/pir/cid"
)

// small wants a file that is one leaf, unless the store has its blob.
func (p *planning) small(digest [32]byte, size int32) error {
	if i, ok := p.r.byDigest[digest]; ok && p.r.leaves[i].own {
		return p.sameSize(i, size)
	}
	p.r.lease.Keep(rawCID(digest))
	known, err := p.r.s.Blocks.BlobSize(rawCID(digest))
	if err == nil {
		if size >= 0 && known != int64(size) {
			return fmt.Errorf("%w: %s has %d bytes, not %d", ErrBadTree, rawCID(digest), known, size)
		}
		return nil
	}
	if disk.UnlessAbsent(err) != nil {
		return err
	}
	damaged := errors.Is(err, disk.ErrDamaged)
	i, err := p.leaf(digest, size)
	if err == nil {
		p.r.leaves[i].own, p.r.leaves[i].damaged = true, damaged
	}
	return err
}

// leaf wants a leaf.
func (p *planning) leaf(digest [32]byte, size int32) (int32, error) {
	if i, ok := p.r.byDigest[digest]; ok {
		return i, p.sameSize(i, size)
	}
	if size == 0 && rawCID(digest) != disk.Empty {
		return 0, fmt.Errorf("%w: %s has no bytes", ErrBadTree, rawCID(digest))
	}
	p.r.lease.Keep(rawCID(digest))
	i := int32(len(p.r.leaves))
	p.r.leaves = append(p.r.leaves, leaf{digest: digest, size: size, uses: -1})
	p.r.byDigest[digest] = i
	return i, nil
}

func (p *planning) sameSize(i, size int32) error {
	if l := &p.r.leaves[i]; l.size != size {
		return fmt.Errorf("%w: %s has %d bytes here and %d there", ErrBadTree, l.cid(), l.size, size)
	}
	return nil
}

// file visits the nodes of the file that c names.
func (p *planning) file(c cid.CID, n *cid.Node) error {
	if n.Size > p.r.limits.Bytes {
		return fmt.Errorf("%w: a file of %d bytes", cid.ErrLimit, n.Size)
	}
	blob := disk.BlobOf(c, n)
	if blob.Codec() == cid.Raw {
		return p.small(blob.Digest(), int32(n.Size))
	}
	if p.larges[blob] {
		return nil
	}
	p.r.lease.Keep(blob)
	_, err := p.r.s.Blocks.BlobSize(blob)
	if disk.UnlessAbsent(err) != nil {
		return err
	}
	held := err == nil
	if held {
		// A collection that was cut off may have removed the records of the file's leaves with its nodes.
		if whole, err := p.whole(c, blob); err != nil || whole {
			return err
		}
	}
	height := 1
	for span := int64(cid.Width); n.Size > span*cid.LeafSize; span *= cid.Width {
		height++
	}
	if p.content = addSizes(p.content, n.Size); p.content > p.r.limits.Bytes {
		return fmt.Errorf("%w: more than %d bytes", cid.ErrLimit, p.r.limits.Bytes)
	}
	var leaves []cid.Leaf
	if err := p.parts(n, n.Size, height, &leaves); err != nil || p.lacks {
		return err
	}
	if got, _ := cid.FileNodes(leaves, false); got != blob {
		return fmt.Errorf("%w: file %s is put together in another way than it must be", ErrBadTree, c)
	}
	p.larges[blob] = true
	if held {
		for i, l := range leaves {
			p.r.lease.Keep(l.CID)
			leaves[i].Offset = int64(i) * cid.LeafSize
		}
		p.r.present[blob] = leaves
		return nil
	}
	return p.large(blob, n.Size, leaves)
}

// whole says whether the index has a node of the file of a blob that the store has.
func (p *planning) whole(c, blob cid.CID) (bool, error) {
	for _, n := range []cid.CID{c, blob} {
		if ok, err := p.r.s.Index.Has(index.NodeKey(n)); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// parts lists the leaves below a node of a file. The shape of the tree follows from the size alone.
func (p *planning) parts(n *cid.Node, size int64, height int, leaves *[]cid.Leaf) error {
	per := int64(cid.LeafSize)
	for range height - 1 {
		per *= cid.Width
	}
	if n.Size != size || int64(len(n.Links)) != (size+per-1)/per {
		return fmt.Errorf("%w: a part of a file has %d bytes in %d links where %d bytes are due", ErrBadTree, n.Size, len(n.Links), size)
	}
	for i, l := range n.Links {
		part := min(per, size)
		size -= part
		if (l.CID.Codec() == cid.Raw) != (height == 1) {
			return fmt.Errorf("%w: part %d of a file is on another level than its leaves must be", ErrBadTree, i)
		}
		if n.BlockSizes[i] != part {
			return fmt.Errorf("%w: part %d of a file has %d bytes where %d are due", ErrBadTree, i, n.BlockSizes[i], part)
		}
		if height == 1 {
			*leaves = append(*leaves, cid.Leaf{CID: l.CID, Size: part})
			continue
		}
		child, _, err := p.node(l)
		if err != nil {
			return err
		}
		if child == nil {
			continue
		}
		if child.Kind != cid.KindFile || child.Exec {
			return fmt.Errorf("%w: part %d of a file is invalid", ErrBadTree, i)
		}
		if err := p.parts(child, part, height-1, leaves); err != nil {
			return err
		}
	}
	return nil
}

// large wants the leaves of a file.
func (p *planning) large(blob cid.CID, size int64, leaves []cid.Leaf) error {
	file := int32(len(p.r.files))
	f := &largeFile{blob: blob, size: size, leaves: make([]int32, len(leaves))}
	p.r.files = append(p.r.files, f)
	for j, l := range leaves {
		i, err := p.leaf(l.CID.Digest(), int32(l.Size))
		if err != nil {
			return err
		}
		f.leaves[j] = i
		p.r.uses = append(p.r.uses, leafUse{file: file, index: int32(j), next: p.r.leaves[i].uses})
		p.r.leaves[i].uses = int32(len(p.r.uses) - 1)
	}
	return nil
}
