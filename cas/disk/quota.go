package disk

import (
	"sync"

	"github.com/MordragT/nuka/protocol"
)

// A Claim is the room that one import or Receiving takes for new files. Its methods may be called from many goroutines.
type Claim struct {
	d     *Dir
	taken int64 // guarded by Dir.claims.mu
}

// claims are the room that the blobs of a store take, against its quota.
type claims struct {
	mu      sync.Mutex
	used    int64 // bytes of the blobs
	pending int64 // bytes of blobs that are being made
}

// Claim returns a claim without room. The caller ends it with Keep or GiveBack.
func (d *Dir) Claim() *Claim { return &Claim{d: d} }

// Take takes room for n bytes of new files, of which unwritten are still to be written; n below 0 gives room back. The error has the code Exhausted if the store would have
// more bytes than its quota, or the disk less free space than the reserve.
func (c *Claim) Take(n, unwritten int64) error {
	d := c.d
	if free, known := d.Free(); d.reserve > 0 && known && free-unwritten < d.reserve && unwritten > 0 {
		return full("%d MiB are free on the disk of the store, %d MiB more are to be written, and the setting store.reserve keeps %d MiB free", free>>20, (unwritten+1<<20-1)>>20, d.reserve>>20)
	}
	d.claims.mu.Lock()
	defer d.claims.mu.Unlock()
	if d.quota > 0 && n > 0 && d.claims.used+d.claims.pending+n > d.quota {
		return full("the store has files of %d bytes, %d bytes more are to come, and the setting store.quota allows %d bytes", d.claims.used+d.claims.pending, n, d.quota)
	}
	d.claims.pending += n
	c.taken += n
	return nil
}

func full(format string, args ...any) error {
	return protocol.Errorf(protocol.Exhausted, format, args...).WithHint("make room with: nuka gc")
}

// Keep ends the claim: its files are part of the store.
func (c *Claim) Keep() {
	c.d.claims.mu.Lock()
	defer c.d.claims.mu.Unlock()
	c.d.claims.used += c.taken
	c.d.claims.pending -= c.taken
	c.taken = 0
}

// GiveBack gives back the room that the claim has taken since Keep.
func (c *Claim) GiveBack() {
	c.d.claims.mu.Lock()
	defer c.d.claims.mu.Unlock()
	c.d.claims.pending -= c.taken
	c.taken = 0
}

// HasQuota says whether the size of the store is bounded.
func (d *Dir) HasQuota() bool { return d.quota > 0 }

// Count calls sum, which adds up the sizes of the blobs in the index, and takes the result for the room that the store takes. Files that
// become part of the store meanwhile count at least once.
func (d *Dir) Count(sum func() (int64, error)) error {
	d.claims.mu.Lock()
	before := d.claims.used
	d.claims.mu.Unlock()
	n, err := sum()
	if err != nil {
		return err
	}
	d.claims.mu.Lock()
	defer d.claims.mu.Unlock()
	d.claims.used += n - before
	return nil
}
