package disk

import (
	"sync"

	"github.com/MordragT/nuka/pir/cid"
)

// owners has the final names that no record names and that somebody is going to commit or to remove: an import, a Receiving or
// a collection. A name has one owner, and the file under it is for that owner alone to use or to remove.
type owners struct {
	mu  sync.Mutex // guards all
	all map[cid.CID]struct{}
}

// Own makes the caller the owner of the final name of a blob, until it calls Disown. It says false if somebody else owns the name.
func (d *Dir) Own(blob cid.CID) bool {

	o := &d.owners
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, taken := o.all[blob]; taken {
		return false
	}
	if o.all == nil {
		o.all = map[cid.CID]struct{}{}
	}
	o.all[blob] = struct{}{}
	return true
}

// Disown gives up names that the caller owns: they are committed, or their files wait for a later owner.
func (d *Dir) Disown(blobs ...cid.CID) {
	o := &d.owners
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, blob := range blobs {
		delete(o.all, blob)
	}
}
