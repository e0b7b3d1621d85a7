package receive

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/pir/cid"
)

// A leaf is a leaf that the store lacked when no node was missing any more.
type leaf struct {
	digest  [32]byte
	size    int32         // -1: not known, of a root
	uses    int32         // the first of its leafUses; -1: none
	state   atomic.Uint32 // written while mu is held
	own     bool          // it is a file of its own, and becomes a blob
	placed  bool          // under its final name
	owned   bool          // this Receiving owns the final name: see disk.Dir.Own
	damaged bool          // the blob was set aside before
}

// The states of a leaf.
const (
	leafMissing = iota
	leafBusy    // it is being written
	leafDone
)

func (l *leaf) cid() cid.CID { return rawCID(l.digest) }

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

// A total sums up the tree below an entry, each occurrence counted.
type total struct {
	entries, bytes int64
	tsize          int64
	height         int // directories inside one another; -1: no directory
}

func (t *total) add(o total) {
	t.entries = addSizes(t.entries, o.entries)
	t.bytes = addSizes(t.bytes, o.bytes)
}

// addSizes adds two numbers, none of them negative; the sum is at most the greatest number.
func addSizes(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// A planning visits the nodes of a tree, each once, when none is missing:
// it checks the sizes and names that they promise, and lists the missing leaves.
type planning struct {
	r       *Receiving
	ctx     context.Context
	dirs    map[[32]byte]total
	shards  map[[32]byte]shardTotal
	larges  map[cid.CID]bool // blobs of files of several leaves
	content int64            // bytes of the files that were taken apart
	lacks   bool             // a node is missing after all
}

// A shardTotal also says where in its directory a shard belongs: the slots on the way to it.
type shardTotal struct {
	at string
	total
}

// plan checks the tree and lists the missing leaves. The caller holds mu; no node is missing.
func (r *Receiving) plan(ctx context.Context) error {
	p := &planning{r: r, ctx: ctx, dirs: map[[32]byte]total{}, shards: map[[32]byte]shardTotal{}, larges: map[cid.CID]bool{}}
	r.disown() // of an earlier plan
	r.leaves, r.uses, r.files, r.present = nil, nil, nil, map[cid.CID][]cid.Leaf{}
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
	if err := r.takeRoom(); err != nil {
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

// takeRoom takes room in the store for the files that are missing, before the first of them is written. The caller holds mu.
func (r *Receiving) takeRoom() error {
	var files, unwritten int64
	for i := range r.leaves {
		l := &r.leaves[i]
		if !l.own {
			continue
		}
		files += int64(max(l.size, 0)) // of a root, unknown: at most one leaf
		if l.state.Load() != leafDone {
			unwritten += int64(max(l.size, 0))
		}
	}
	for _, f := range r.files {
		files += f.size
		if !f.made { // else it has its room
			unwritten += f.size
		}
	}
	r.room.GiveBack() // of an earlier plan
	return r.room.Take(files, unwritten)
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

// node returns a node and its total size. If the node is missing, it returns nil, and the node is wanted again.
func (p *planning) node(l cid.Link) (*cid.Node, int64, error) {
	if err := p.ctx.Err(); err != nil {
		return nil, 0, err
	}
	n, b, err := p.r.node(l.CID)
	if errors.Is(err, disk.ErrNotFound) || errors.Is(err, disk.ErrDamaged) {
		// The index has lost it.
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

// entry visits the target of a link of a directory.
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

// A pathError says at which path of a tree an error is.
type pathError struct {
	path string
	err  error
}

func (e *pathError) Error() string { return fmt.Sprintf("%q: %v", e.path, e.err) }
func (e *pathError) Unwrap() error { return e.err }

// atName adds a name to the path of an error. The end of a long path is left out.
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

// shard visits a shard. A name belongs into one shard only, so a directory with the same shard in two places is none.
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
	// A loop of links would need a hash that is known before its node; if there were one, the depth would end it.
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
