package cas

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"github.com/MordragT/nuka/pir/cid"
)

// A recvLeaf is a leaf that the store lacked when the nodes were complete.
type recvLeaf struct {
	digest  [32]byte
	size    int32         // -1: not known, of a root
	uses    int32         // the first of its leafUses; -1: none
	state   atomic.Uint32 // written by who holds mu
	own     bool          // it is a file of its own, and becomes a blob
	placed  bool          // under its final name
	damaged bool          // the blob was set aside before
}

// The states of a leaf.
const (
	leafMissing = iota
	leafBusy    // it is being written
	leafDone
)

func (l *recvLeaf) cid() cid.CID { return rawCID(l.digest) }

func rawCID(digest [32]byte) cid.CID {
	c, err := cid.New(cid.Raw, digest)
	if err != nil {
		panic(err) // the codec is one of the two
	}
	return c
}

// A leafUse is a place of a leaf in a file of several leaves.
type leafUse struct {
	file, index int32
	next        int32 // the next use of the same leaf; -1: none
}

// total is what is below an entry, each occurrence counted.
type total struct {
	entries, bytes int64
	tsize          int64
	height         int // directories inside one another; -1: no directory
}

func (t *total) add(o total) {
	t.entries = addSizes(t.entries, o.entries)
	t.bytes = addSizes(t.bytes, o.bytes)
}

// addSizes adds numbers that are not negative and stays at the greatest.
func addSizes(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// A planning goes through the nodes of a tree, each once, when all are here:
// it checks what they promise about one another and lists the leaves that are missing.
type planning struct {
	r       *Receiving
	ctx     context.Context
	dirs    map[[32]byte]total
	shards  map[[32]byte]shardTotal
	larges  map[cid.CID]bool // blobs of files of several leaves
	content int64            // bytes of the files that were taken apart
	lacks   bool             // a node was not here after all
}

// A shardTotal also says where in its directory a shard belongs: the slots on the way to it.
type shardTotal struct {
	at string
	total
}

// plan checks the tree and finds out which leaves are missing. The caller holds mu; all nodes are here.
func (r *Receiving) plan(ctx context.Context) error {
	p := &planning{r: r, ctx: ctx, dirs: map[[32]byte]total{}, shards: map[[32]byte]shardTotal{}, larges: map[cid.CID]bool{}}
	r.leaves, r.uses, r.files = nil, nil, nil
	clear(r.byDigest)
	if err := p.tree(); err != nil {
		return err
	}
	if p.lacks {
		return nil
	}
	if err := r.adopt(ctx); err != nil {
		return err
	}
	if err := r.copyLocal(ctx); err != nil {
		return err
	}
	var done, sum int64
	r.left = 0
	for i := range r.leaves {
		l := &r.leaves[i]
		sum += int64(max(l.size, 0))
		if l.state.Load() == leafDone {
			done += int64(l.size)
		} else {
			r.left++
		}
	}
	r.done.Store(done)
	r.total.Store(sum)
	r.planned.Store(true)
	return nil
}

func (p *planning) tree() error {
	if p.r.root.Codec() == cid.Raw {
		return p.small(p.r.root.Digest(), -1)
	}
	t, err := p.entry(cid.Link{CID: p.r.root, Tsize: -1}, 0)
	if err != nil {
		return err
	}
	return p.within(t)
}

// within says whether a part of the tree is within the limits.
func (p *planning) within(t total) error {
	if t.entries > int64(p.r.limits.Entries) {
		return fmt.Errorf("%w: more than %d entries", cid.ErrLimit, p.r.limits.Entries)
	}
	if t.bytes > p.r.limits.Bytes {
		return fmt.Errorf("%w: more than %d bytes", cid.ErrLimit, p.r.limits.Bytes)
	}
	return nil
}

// node returns a node and its total size. Nil is one that is not here: it is wanted from now on.
func (p *planning) node(l cid.Link) (*cid.Node, int64, error) {
	if err := p.ctx.Err(); err != nil {
		return nil, 0, err
	}
	n, b, err := p.r.node(l.CID)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrDamaged) {
		// The index has lost it: it is wanted after all.
		p.lacks = true
		p.r.wantAgain(l.CID)
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	size := int64(len(b))
	for _, child := range n.Links {
		size = addSizes(size, child.Tsize)
	}
	if l.Tsize >= 0 {
		err = checkTsize(l, size)
	}
	return n, size, err
}

func checkTsize(l cid.Link, size int64) error {
	if l.Tsize >= 0 && l.Tsize != size {
		return fmt.Errorf("%w: a link says that %s has %d bytes in all, and it has %d", ErrBadTree, l.CID, l.Tsize, size)
	}
	return nil
}

// entry goes through what a name of a directory links to.
func (p *planning) entry(l cid.Link, depth int) (total, error) {
	if l.CID.Codec() == cid.Raw {
		if l.Tsize > cid.LeafSize {
			return total{}, fmt.Errorf("%w: %q is a leaf of %d bytes", ErrBadTree, l.Name, l.Tsize)
		}
		return total{entries: 1, bytes: l.Tsize, tsize: l.Tsize, height: -1}, p.small(l.CID.Digest(), int32(l.Tsize))
	}
	digest := l.CID.Digest()
	if t, ok := p.dirs[digest]; ok {
		if depth+t.height > p.r.limits.Depth {
			return total{}, p.tooDeep()
		}
		return t, checkTsize(l, t.tsize)
	}
	n, size, err := p.node(l)
	if err != nil || n == nil {
		return total{}, err
	}
	t := total{tsize: size, height: -1}
	switch n.Kind {
	case cid.KindSymlink:
	case cid.KindFile:
		t.bytes = n.Size
		err = p.file(l.CID, n)
	default:
		if depth > p.r.limits.Depth {
			return total{}, p.tooDeep()
		}
		var below total
		if n.Kind == cid.KindShard {
			below, err = p.shard(l.CID, n, "", depth)
		} else {
			below, err = p.dir(n, depth)
		}
		t.entries, t.bytes, t.height = below.entries, below.bytes, below.height
	}
	if err != nil {
		return total{}, atName(l.Name, err)
	}
	t.entries = addSizes(t.entries, 1)
	if n.Kind == cid.KindDir || n.Kind == cid.KindShard {
		p.dirs[digest] = t
	}
	return t, p.within(t)
}

// A pathError says where in a tree something is wrong.
type pathError struct {
	path string
	err  error
}

func (e *pathError) Error() string { return fmt.Sprintf("%q: %v", e.path, e.err) }
func (e *pathError) Unwrap() error { return e.err }

// atName adds a name to the path of an error. Of a long path the end is left out.
func atName(name string, err error) error {
	if name == "" {
		return err
	}
	var at *pathError
	if !errors.As(err, &at) {
		return &pathError{name, err}
	}
	if at.path = name + "/" + at.path; len(at.path) > 200 {
		at.path = at.path[:200]
	}
	return err
}

func (p *planning) tooDeep() error {
	return fmt.Errorf("%w: more than %d directories deep", cid.ErrLimit, p.r.limits.Depth)
}

func (p *planning) dir(n *cid.Node, depth int) (t total, err error) {
	for _, l := range n.Links {
		below, err := p.entry(l, depth+1)
		if err != nil {
			return t, err
		}
		t.add(below)
		t.height = max(t.height, below.height+1)
	}
	return t, nil
}

// shard goes through a shard. A name belongs into one shard only, so the same shard in two places is no directory.
func (p *planning) shard(c cid.CID, n *cid.Node, at string, depth int) (t total, err error) {
	if len(at) >= 2*len(cid.ShardPath("")) {
		return t, fmt.Errorf("%w: shards are too deep", ErrBadTree)
	}
	if old, ok := p.shards[c.Digest()]; ok {
		if old.at != at {
			return t, fmt.Errorf("%w: shard %s is in two places", ErrBadTree, c)
		}
		if depth+old.height > p.r.limits.Depth {
			return t, p.tooDeep()
		}
		return old.total, nil
	}
	// Whoever links to itself over others would need to know a hash before it is made; the depth ends it all the same.
	for _, l := range n.Links {
		var below total
		if name := l.Name[2:]; name != "" {
			path := cid.ShardPath(name)
			for i := range len(at)/2 + 1 {
				if path[i] != (at + l.Name[:2])[2*i:2*i+2] {
					return t, fmt.Errorf("%w: name %q is in the wrong shard", ErrBadTree, name)
				}
			}
			if below, err = p.entry(l, depth+1); err != nil {
				return t, err
			}
			t.height = max(t.height, below.height+1)
		} else {
			child, _, err := p.node(l)
			if err != nil {
				return t, err
			}
			if child == nil {
				continue
			}
			if child.Kind != cid.KindShard {
				return t, fmt.Errorf("%w: a %s where a shard is due", ErrBadTree, child.Kind)
			}
			if below, err = p.shard(l.CID, child, at+l.Name, depth); err != nil {
				return t, err
			}
			t.height = max(t.height, below.height)
		}
		t.add(below)
		if err := p.within(t); err != nil {
			return t, err
		}
	}
	p.shards[c.Digest()] = shardTotal{at, t}
	return t, nil
}

// small wants a file that is one leaf, unless its blob is here.
func (p *planning) small(digest [32]byte, size int32) error {
	if i, ok := p.r.byDigest[digest]; ok {
		p.r.leaves[i].own = true
		return p.sameSize(i, size)
	}
	known, err := p.r.s.blobSize(rawCID(digest))
	if err == nil {
		if size >= 0 && known != int64(size) {
			return fmt.Errorf("%w: %s has %d bytes, not %d", ErrBadTree, rawCID(digest), known, size)
		}
		return nil
	}
	if unlessAbsent(err) != nil {
		return err
	}
	damaged := errors.Is(err, ErrDamaged)
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
	if size == 0 && rawCID(digest) != emptyBlob {
		return 0, fmt.Errorf("%w: %s has no bytes", ErrBadTree, rawCID(digest))
	}
	i := int32(len(p.r.leaves))
	p.r.leaves = append(p.r.leaves, recvLeaf{digest: digest, size: size, uses: -1})
	p.r.byDigest[digest] = i
	return i, nil
}

func (p *planning) sameSize(i, size int32) error {
	if l := &p.r.leaves[i]; l.size != size {
		return fmt.Errorf("%w: %s has %d bytes here and %d there", ErrBadTree, l.cid(), l.size, size)
	}
	return nil
}

// file goes through a file, which c names.
func (p *planning) file(c cid.CID, n *cid.Node) error {
	if n.Size > p.r.limits.Bytes {
		return fmt.Errorf("%w: a file of %d bytes", cid.ErrLimit, n.Size)
	}
	blob := blobOfRoot(c, n)
	if blob.Codec() == cid.Raw {
		return p.small(blob.Digest(), int32(n.Size))
	}
	if p.larges[blob] {
		return nil
	}
	if _, err := p.r.s.blobSize(blob); unlessAbsent(err) != nil || err == nil {
		return err
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
	return p.large(blob, n.Size, leaves)
}

// parts lists the leaves below a node of a file. Where each is follows from the size alone.
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
			return fmt.Errorf("%w: part %d of a file is no part", ErrBadTree, i)
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
	f := &recvFile{blob: blob, size: size, leaves: make([]int32, len(leaves))}
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
