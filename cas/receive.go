package cas

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/MordragT/nuka/pir/cid"
)

// The errors of receiving that callers test for.
var (
	// ErrReceiving says that the same tree is being received already, by another caller.
	ErrReceiving = errors.New("it is being received already")
	// ErrWrongBlock says that a block's bytes are not what its CID names: whoever sent it is at fault.
	ErrWrongBlock = errors.New("the bytes are not those of the block")
	// ErrUnwanted says that a block is not one of those that are wanted.
	ErrUnwanted = errors.New("nobody wants the block")
	// ErrBadTree says that a root names something that is no tree. It will never be one, whoever sends its blocks.
	ErrBadTree = errors.New("not a tree that a store can hold")
)

// maxNodeBytes bounds the nodes of a tree that is received: they are committed together.
const maxNodeBytes = 1 << 30

// ReceiveOptions change how one tree is received. Nil is all zero.
type ReceiveOptions struct {
	// Size bounds the bytes of content, each file counted as often as it occurs; 0: only the store's limits do.
	Size int64
	// Coming is called with the root, and with what each node links to when the node has come, before Block finds any of it.
	// What is below a node that the store has is not told. It must return soon and not call the store. Nil: nobody.
	Coming func(blocks []cid.CID)
	// RootName is of a Root that Finish stores with the tree: who finds the tree finds the root. Empty: none.
	RootName string
}

// A Receiving takes in one tree whose blocks come from elsewhere, in any order.
// First the nodes, of which those are wanted whose parents are known; when none is missing, the leaves.
// What the store has already is never wanted.
// Methods may be called from many goroutines. Who has it calls Finish, Discard or Close when done; Close after Finish is nothing.
// When no node is missing any more, the store's Block finds what has come, until the Receiving ends; nothing else does.
//
// Once a tree has turned out to be none (ErrBadTree) or too large (cid.ErrLimit), what came of it is removed,
// and every later call returns that error.
type Receiving struct {
	s        *Store
	root     cid.CID
	rootName string // empty: no Root is stored
	dir      string
	limits   cid.Limits
	coming   func([]cid.CID) // nil: nobody is told

	// life is read-locked while blocks are put and locked to end the Receiving.
	life  sync.RWMutex
	ended error // why no more is taken

	// reading is read-locked while a block is read for others, and locked to give files other names and to end.
	reading sync.RWMutex
	gone    bool // nothing is read any more

	mu       sync.Mutex // guards what follows, up to the leaves, and their state
	found    bool       // the folder is of an earlier Receiving
	made     bool       // the folder exists
	nodes    map[[32]byte]nodePlace
	frontier []cid.CID // wanted nodes, and some that have come since
	missing  int       // wanted nodes
	links    int
	nodeLog  appendFile
	placed   appendFile

	planned  atomic.Bool // the fields that follow are set and the nodes known: what is where does not change any more
	leaves   []recvLeaf
	byDigest map[[32]byte]int32
	uses     []leafUse
	files    []*recvFile
	left     int // leaves that are not done

	done, total atomic.Int64
	folders     placeFolders
	checked     atomic.Int64 // bytes written when the free space was last looked at
	written     atomic.Int64
}

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

// Receive begins, or goes on, to take in the tree that root names.
// What an earlier Receiving of the root has left on disk is compared with its hashes and used; that takes a while.
// A root can be received by one caller at a time; ErrReceiving for another.
func (s *Store) Receive(ctx context.Context, root cid.CID, o *ReceiveOptions) (*Receiving, error) {
	if err := s.enter(); err != nil {
		return nil, fmt.Errorf("receive %s: %w", root, err)
	}
	defer s.leave()
	if root.IsZero() {
		return nil, errors.New("receive: no content id")
	}
	r := &Receiving{
		s: s, root: root, limits: s.o.Limits.WithDefaults(), dir: s.path(tmpDir, receiveDir, root.String()),
		nodes: map[[32]byte]nodePlace{}, byDigest: map[[32]byte]int32{}, folders: placeFolders{s: s},
	}
	if o != nil {
		if o.RootName != "" && !isRootName(o.RootName) {
			return nil, fmt.Errorf("receive %s: root %q: %w", root, o.RootName, errRootName)
		}
		r.coming, r.rootName = o.Coming, o.RootName
		if o.Size > 0 {
			r.limits.Bytes = min(r.limits.Bytes, o.Size)
		}
	}
	if r.coming != nil {
		r.coming([]cid.CID{root})
	}
	s.receivingMu.Lock()
	if s.receiving[root] != nil {
		s.receivingMu.Unlock()
		return nil, fmt.Errorf("receive %s: %w", root, ErrReceiving)
	}
	s.receiving[root] = r
	s.receivingMu.Unlock()
	r.life.Lock()
	defer r.life.Unlock()
	if err := r.load(ctx); err != nil {
		err = r.judge(err)
		return nil, fmt.Errorf("receive %s: %w", root, errors.Join(err, r.end(err)))
	}
	return r, nil
}

// WantNodes returns the missing nodes whose parents are known. The nodes below them become known as they come.
func (r *Receiving) WantNodes() []cid.CID {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]cid.CID, 0, r.missing)
	for _, c := range r.frontier {
		if r.nodes[c.Digest()].offset == wanted {
			list = append(list, c)
		}
	}
	r.frontier = append(r.frontier[:0], list...)
	return list
}

// WantLeaves returns the distinct leaves that are missing, in the order of the tree, once no node is missing; before that none.
// The size of a root that is itself a leaf is not known and given as 0; offsets have no meaning.
func (r *Receiving) WantLeaves() []cid.Leaf {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.planned.Load() {
		return nil
	}
	list := make([]cid.Leaf, 0, r.left)
	for i := range r.leaves {
		if l := &r.leaves[i]; l.state.Load() == leafMissing {
			list = append(list, cid.Leaf{CID: l.cid(), Size: int64(max(l.size, 0))})
		}
	}
	return list
}

// Progress returns how many bytes of leaves have come, also to earlier Receivings of the root, of how many that the store lacked.
// The total is 0 while nodes are missing.
func (r *Receiving) Progress() (done, total int64) { return r.done.Load(), r.total.Load() }

// Put takes in a block, which must be wanted; one that has come already is nothing.
// It keeps nothing of b.Data. The last node takes longer: what is here already is looked for and copied.
// After ErrWrongBlock, ErrUnwanted and errors of the disk the Receiving goes on, and the block is wanted as before.
func (r *Receiving) Put(b cid.Block) error { return r.take(b, false) }

// PutCompared is Put for a caller that has compared the bytes with the CID itself: nothing else looks at the bytes of a leaf.
func (r *Receiving) PutCompared(b cid.Block) error { return r.take(b, true) }

func (r *Receiving) take(b cid.Block, compared bool) error {
	if err := r.s.enter(); err != nil {
		return fmt.Errorf("receive %s: %w", r.root, err)
	}
	defer r.s.leave()
	r.life.RLock()
	err := r.ended
	if err == nil {
		err = r.put(b, compared)
	}
	r.life.RUnlock()
	if err != nil {
		return fmt.Errorf("receive %s: block %s: %w", r.root, b.CID, r.giveUp(err))
	}
	return nil
}

func (r *Receiving) put(b cid.Block, compared bool) error {
	if b.CID.Codec() == cid.DagPB {
		return r.putNode(b)
	}
	return r.putLeaf(b, compared)
}

// isFinal says whether an error means that the tree can never be received.
func isFinal(err error) bool { return errors.Is(err, ErrBadTree) || errors.Is(err, cid.ErrLimit) }

// giveUp removes what has come when err is final. The caller does not hold life.
func (r *Receiving) giveUp(err error) error {
	if !isFinal(err) {
		return err
	}
	r.life.Lock()
	defer r.life.Unlock()
	return r.judge(err)
}

// judge is giveUp for a caller that holds life.
func (r *Receiving) judge(err error) error {
	if isFinal(err) && r.ended == nil {
		if e := r.discard(err); e != nil {
			r.s.log.Warn("what was received of a bad tree is left over", "root", r.root, "error", e)
		}
	}
	return err
}

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
	if err := r.makeDir(); err != nil {
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
		// The disk failed: with the block wanted as before, putting it again tries again.
		r.wantAgain(b.CID)
		return err
	}
	return nil
}

// wantAgain wants a node that was known. The caller holds mu.
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
		// So that the nodes of a file are in proportion to its size before they are all here.
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
	// What is below a node in the index is there as well: it was committed with it.
	known, err := r.s.has(digestKey(keyNode, c.Digest()))
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

// Discard ends the Receiving and removes what has come.
func (r *Receiving) Discard() error {
	if err := r.s.enter(); err != nil {
		return fmt.Errorf("discard what was received of %s: %w", r.root, err)
	}
	defer r.s.leave()
	r.life.Lock()
	defer r.life.Unlock()
	if r.ended != nil {
		return nil
	}
	if err := r.discard(ErrClosed); err != nil {
		return fmt.Errorf("discard what was received of %s: %w", r.root, err)
	}
	return nil
}

func (r *Receiving) discard(why error) error {
	err := r.end(why)
	return errors.Join(err, r.s.dropReceived(r.dir))
}

// Close ends the Receiving. What has come stays on disk for seven days;
// the next Receive of the root finds it, also after a crash.
func (r *Receiving) Close() error {
	r.life.Lock()
	defer r.life.Unlock()
	if r.ended != nil {
		return nil
	}
	if err := r.end(ErrClosed); err != nil {
		return fmt.Errorf("close what is received of %s: %w", r.root, err)
	}
	return nil
}

// end closes files and lets others receive the root. The caller holds life.
func (r *Receiving) end(why error) error {
	if r.ended != nil {
		return nil
	}
	r.ended = why
	r.s.receivingMu.Lock()
	delete(r.s.receiving, r.root)
	r.s.receivingMu.Unlock()
	r.reading.Lock()
	r.gone = true
	r.reading.Unlock()
	return r.closeState()
}

// closeReceiving ends every Receiving. Nobody puts blocks any more.
func (s *Store) closeReceiving() error {
	s.receivingMu.Lock()
	var all []*Receiving
	for _, r := range s.receiving {
		all = append(all, r)
	}
	s.receivingMu.Unlock()
	var errs []error
	for _, r := range all {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}
