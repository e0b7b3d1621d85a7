package index

import (
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/internal/crclog"
	"github.com/MordragT/nuka/pir/cid"
)

// A Changes is a set of changes that are committed together. It is for one goroutine.
type Changes struct {
	x       *Index
	b       *pebble.Batch
	journal []byte
}

// Change begins a set of changes. The caller calls Commit or Discard.
func (x *Index) Change() *Changes { return &Changes{x: x, b: x.db.NewBatch()} }

// Set sets a record.
func (c *Changes) Set(k, v []byte) {
	c.b.Set(k, v, nil) //nolint:errcheck // a batch is memory
	if journaled(k) {
		c.journal = crclog.Framed.Append(c.journal, crclog.Record{Key: k, Value: v})
	}
}

// Delete deletes a record.
func (c *Changes) Delete(k []byte) {
	c.b.Delete(k, nil) //nolint:errcheck // a batch is memory
	if journaled(k) {
		c.journal = crclog.Framed.Append(c.journal, crclog.Record{Deleted: true, Key: k})
	}
}

// SetFile sets the records that follow from the bytes of a blob of several leaves, and its nodes.
func (c *Changes) SetFile(blob cid.CID, leaves []cid.Leaf, nodes []cid.Block) {
	for _, n := range nodes {
		c.Set(NodeKey(n.CID), n.Data)
	}
	if len(leaves) > 1 {
		for _, l := range leaves {
			c.Set(LeafKey(l.CID), Place{blob, l.Offset, l.Size}.Encode())
		}
	}
}

// Scan is Index.Scan with the changes made. The changes must be those of an Update.
func (c *Changes) Scan(prefix []byte) iter.Seq2[Row, error] { return c.x.scan(c.b, prefix, prefix) }

// Empty says whether there is no change.
func (c *Changes) Empty() bool { return c.b.Empty() }

// Discard gives up changes that are not committed.
func (c *Changes) Discard() { c.b.Close() } //nolint:errcheck // memory

// A Sync says when a commit is on disk.
type Sync bool

const (
	// Durable changes are on disk when the commit returns.
	Durable Sync = true
	// Soon is for records that are worth nothing without a later durable commit, with which they reach the disk.
	Soon Sync = false
)

// Commit applies the changes.
func (x *Index) Commit(c *Changes, sync Sync) error {
	return x.finishCommit(c, sync, x.beginCommit(c, sync))
}

// Update commits changes of records that build reads first.
// No other Update reads or writes between them: two calls at once could otherwise both act on the old record.
// A later Update sees the changes before they are on disk, and is on disk no earlier.
// build must not call Update.
func (x *Index) Update(sync Sync, build func(c *Changes) error) error {
	c := &Changes{x: x, b: x.db.NewIndexedBatch()} // indexed for Scan
	x.updateMu.Lock()
	err := build(c)
	unchanged := err == nil && sync == Soon && c.Empty()
	if err == nil && !unchanged {
		err = x.beginCommit(c, sync)
	}
	x.updateMu.Unlock()
	if err != nil || unchanged {
		c.Discard()
		return err
	}
	return x.finishCommit(c, sync, nil)
}

// Settled calls fn while no Update changes a record.
func (x *Index) Settled(fn func() error) error {
	x.updateMu.Lock()
	defer x.updateMu.Unlock()
	return fn()
}

// beginCommit makes the changes visible, in the order in which they reach the disk.
func (x *Index) beginCommit(c *Changes, sync Sync) (err error) {
	defer catchFatal(&err)
	if err := x.dir.Step(disk.StepJournal, journalPrefix); err != nil {
		return err
	}
	if err := x.dir.Step(disk.StepCommit, disk.Index); err != nil {
		return err
	}
	return x.apply(c, sync)
}

// finishCommit waits until durable changes are on disk, unless err says that they were not made.
func (x *Index) finishCommit(c *Changes, sync Sync, err error) (failed error) {
	defer c.Discard()
	defer catchFatal(&failed)
	if err != nil || sync == Soon {
		return err
	}
	if err := c.b.SyncWait(); err != nil {
		return err
	}
	x.compactJournal()
	return nil
}

// catchFatal turns a panic of pebbleLog.Fatalf into an error.
func catchFatal(err *error) {
	if p := recover(); p != nil {
		fatal, ok := p.(errIndexFatal)
		if !ok {
			panic(p)
		}
		*err = fmt.Errorf("commit: %w", fatal)
	}
}

// journalSyncEvery is how many bytes are appended to the journal before it is synced.
const journalSyncEvery = 4 << 20

func (x *Index) apply(c *Changes, sync Sync) error {
	x.commitMu.Lock()
	defer x.commitMu.Unlock()
	start := x.journal.end
	if err := x.journal.append(c.journal); err != nil {
		return err
	}
	c.b.Set(position.Key(), x.journal.position(), nil) //nolint:errcheck // a batch is memory
	err := error(nil)
	if sync == Durable {
		err = x.db.ApplyNoSyncWait(c.b, pebble.Sync)
	} else {
		err = x.db.Apply(c.b, pebble.NoSync)
	}
	if err != nil {
		x.journal.end = start
		return fmt.Errorf("commit: %w", err)
	}
	if x.journal.end-x.journal.synced > journalSyncEvery {
		return x.journal.sync()
	}
	return nil
}

// Barrier makes everything that is committed durable in the index.
func (x *Index) Barrier() error { return x.Commit(x.Change(), Durable) }

// syncJournal makes the journal durable and records that in the index.
func (x *Index) syncJournal() error {
	x.commitMu.Lock()
	done := x.journal.synced == x.journal.end
	var err error
	if !done {
		err = x.journal.sync()
	}
	x.commitMu.Unlock()
	if done || err != nil {
		return err
	}
	return x.Commit(x.Change(), Soon)
}
