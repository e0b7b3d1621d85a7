package receive

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/cas/lease"
	"github.com/MordragT/nuka/pir/cid"
)

// The errors of receiving that callers test for.
var (
	// ErrReceiving says that another caller is receiving the same tree.
	ErrReceiving = errors.New("it is being received already")
	// ErrWrongBlock says that the bytes of a block do not have its CID: the sender of the block is at fault.
	ErrWrongBlock = errors.New("the bytes are not those of the block")
	// ErrUnwanted says that a block is not one of those that are wanted.
	ErrUnwanted = errors.New("the block is not wanted")
	// ErrBadTree says that a root names no tree. It never will, whoever sends its blocks.
	ErrBadTree = errors.New("not a tree that a store can hold")
)

// Options change how one tree is received. Nil is all zero.
type Options struct {
	// Size bounds the bytes of content, each file counted as often as it occurs; 0: only the store's limits do.
	Size int64
	// Coming is called with the root, and with the links of each node that was received, before Block finds any of these blocks.
	// It is not called about blocks below a node that the store has. It must return soon and not call the store. Nil: no calls.
	Coming func(blocks []cid.CID)
	// RootName is the name of a root of the store that Finish stores with the tree, in one commit. Empty: none.
	RootName string
	// Lease keeps the tree from the moment when it is in the store; nil: the next collection may remove it.
	Lease *lease.Lease
}

// A Receiving takes in one tree whose blocks come from elsewhere, in any order.
// First it wants the nodes whose parents are known; when no node is missing, the leaves.
// It never wants blocks that the store has already.
// Methods may be called from many goroutines. The owner calls Finish, Discard or Close when done; Close after Finish does nothing.
// Once no node is missing, the store's Block finds the blocks received so far, until the Receiving ends; no other method does.
//
// If the blocks turn out to be no tree (ErrBadTree) or too large a one (cid.ErrLimit), the Receiving ends and removes them;
// every later call returns that error.
type Receiving struct {
	set      *Set
	s        *Store
	root     cid.CID
	rootName string // empty: no root is stored
	dir      string
	limits   cid.Limits
	coming   func([]cid.CID) // nil: no calls
	lease    *lease.Lease    // on everything of the tree that the store has or gets
	after    *lease.Lease    // Options.Lease

	// The locks are taken in this order: life, mu, the names of disk.Dir, reading.

	// life is read-locked while blocks are put and locked to end the Receiving.
	life  sync.RWMutex
	ended error // why no more blocks are taken

	// reading is read-locked while a block is read for a peer, and locked to rename files and to end.
	reading sync.RWMutex
	gone    bool // blocks are no longer read

	// mu guards the fields that follow, up to left. Once planned is set, only left, frontier and the states of leaves change.
	mu       sync.Mutex
	found    bool // the folder is of an earlier Receiving
	made     bool // the folder exists
	nodes    map[[32]byte]nodePlace
	frontier []cid.CID // wanted nodes, and some that were received since
	missing  int       // wanted nodes
	links    int
	nodeLog  appendFile
	placed   appendFile

	planned  atomic.Bool // the fields that follow are set and the nodes known: the places of blocks do not change any more
	leaves   []leaf
	byDigest map[[32]byte]int32
	uses     []leafUse
	files    []*largeFile
	present  map[cid.CID][]cid.Leaf // files whose blobs the store has, and the records of whose leaves may be missing
	left     int                    // leaves that are not done

	room        *disk.Claim
	done, total atomic.Int64
	folders     disk.Folders
	checked     atomic.Int64 // bytes written when the free space was last looked at
	written     atomic.Int64
}

// WantNodes returns the missing nodes whose parents are known. The nodes below them become known as they are put.
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
// If the root is itself a leaf, its size is not known and given as 0. Offsets have no meaning.
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

// Progress returns how many bytes of leaves were received, also by earlier Receivings of the root, of how many that the store lacked.
// The total is 0 while nodes are missing.
func (r *Receiving) Progress() (done, total int64) { return r.done.Load(), r.total.Load() }

// Put takes in a block, which must be wanted; putting a block again does nothing.
// It keeps nothing of b.Data. The last node takes longer: leaves that the store has as parts of other files are copied.
// After ErrWrongBlock, ErrUnwanted and errors of the disk the Receiving continues, and the block is wanted as before.
func (r *Receiving) Put(b cid.Block) error { return r.take(b, false) }

// PutCompared is Put for a caller that has compared the bytes with the CID: the bytes of a leaf are not compared again.
func (r *Receiving) PutCompared(b cid.Block) error { return r.take(b, true) }

func (r *Receiving) take(b cid.Block, compared bool) error {
	if err := r.s.Calls.Enter(); err != nil {
		return fmt.Errorf("receive %s: %w", r.root, err)
	}
	defer r.s.Calls.Leave()
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

// giveUp removes the blocks received so far if err is final. The caller does not hold life.
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
			r.s.Log.Warn("blocks of a bad tree are left over", "root", r.root, "error", e)
		}
	}
	return err
}

// Discard ends the Receiving and removes the blocks received so far.
func (r *Receiving) Discard() error {
	if err := r.s.Calls.Enter(); err != nil {
		return fmt.Errorf("discard what was received of %s: %w", r.root, err)
	}
	defer r.s.Calls.Leave()
	r.life.Lock()
	defer r.life.Unlock()
	if r.ended != nil {
		return nil
	}
	if err := r.discard(disk.ErrClosed); err != nil {
		return fmt.Errorf("discard what was received of %s: %w", r.root, err)
	}
	return nil
}

// discard ends the Receiving and removes its blocks. The caller holds life.
func (r *Receiving) discard(why error) error {
	return r.end(why, func() error { return r.s.drop(r.dir) })
}

// Close ends the Receiving. The blocks received so far stay on disk for seven days;
// the next Receive of the root finds them, also after a crash.
func (r *Receiving) Close() error {
	r.life.Lock()
	defer r.life.Unlock()
	if r.ended != nil {
		return nil
	}
	if err := r.end(disk.ErrClosed, keep); err != nil {
		return fmt.Errorf("close what is received of %s: %w", r.root, err)
	}
	return nil
}

// keep has end leave the folder for a later Receiving.
func keep() error { return nil }

// disown gives up the final names. The records of placed blobs say which a later Receiving may own again.
func (r *Receiving) disown() {
	for i := range r.leaves {
		if l := &r.leaves[i]; l.owned {
			r.s.Dir.Disown(l.cid())
			l.owned = false
		}
	}
}

// end closes the files, calls after about the folder, and then lets another Receiving of the root begin in it.
// The caller holds life.
func (r *Receiving) end(why error, after func() error) error {
	if r.ended != nil {
		return nil
	}
	defer r.set.remove(r)
	defer r.room.GiveBack()
	r.ended = why
	r.reading.Lock()
	r.gone = true
	r.reading.Unlock()
	r.disown()
	return errors.Join(r.closeFolder(), after())
}
