package index

import (
	"errors"
	"fmt"
	"os"

	"github.com/cockroachdb/pebble/v2"

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/internal/crclog"
)

// This file opens the journal that the index names, and writes it anew if it has lost records or if most of its records are
// outdated.

// openJournal opens the journal that the index names, cuts off records that were never committed,
// and writes the journal anew from the index if the disk has lost a part of it.
func (x *Index) openJournal() error {
	value, err := x.Get(position.Key())
	if err != nil {
		return err
	}
	number, end, synced, err := decodePosition(value)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(x.dir.Path(disk.Meta, journalName(number)), os.O_RDWR, 0)
	if err == nil {
		var good, size int64
		if info, e := f.Stat(); e == nil && info.Size() >= end {
			size = info.Size()
			good, err = readJournal(f, synced, end, func(crclog.Record) error { return nil })
		}
		if good == end && err == nil {
			x.journal = &journal{f: f, number: number, end: end, synced: synced}
			if size > end { // Truncate also gives up the room beyond it
				if err := f.Truncate(end); err != nil {
					return err
				}
			}
			// If a crash cut off a renewal before the index was committed, there is a journal with a higher number,
			// which a rebuild would take for the newest.
			return x.removeJournals(number)
		}
		f.Close() //nolint:errcheck // replaced below
	}
	x.log.Warn("the journal has lost records and is written anew from the index", "journal", number)
	return x.renewJournal(number + 1)
}

// renewJournal writes a journal from the index and removes the others.
func (x *Index) renewJournal(number uint64) error {
	x.commitMu.Lock()
	defer x.commitMu.Unlock()
	return x.renewJournalLocked(number)
}

func (x *Index) renewJournalLocked(number uint64) error {
	j, err := newJournal(x.dir, number, x.dump)
	if err != nil {
		return err
	}
	// Earlier commits to the index are synced with this one.
	if err := x.db.Set(position.Key(), j.position(), pebble.Sync); err != nil {
		return errors.Join(fmt.Errorf("commit: %w", err), j.close(), disk.RemoveIfThere(x.dir.Path(disk.Meta, journalName(number))))
	}
	if x.journal != nil {
		x.journal.close() //nolint:errcheck // replaced
	}
	x.journal = j
	x.journalLive = j.end
	return x.removeJournals(number)
}

// removeJournals removes all journals but the one with a number.
func (x *Index) removeJournals(but uint64) error {
	numbers, err := journalNumbers(x.dir.Path(disk.Meta))
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if n == but {
			continue
		}
		if err := os.Remove(x.dir.Path(disk.Meta, journalName(n))); err != nil {
			return err
		}
	}
	return nil
}

// journalSlack is how many bytes of outdated records a journal may hold, besides as many as it has live ones.
const journalSlack = 64 << 20

// compactJournal writes the journal anew if most of it is outdated. Commits wait meanwhile.
// A journal that cannot be written now, as on a full disk, stays as it is until it has grown by as much again.
func (x *Index) compactJournal() {
	x.commitMu.Lock()
	defer x.commitMu.Unlock()
	slack := x.o.JournalSlack
	if slack == 0 {
		slack = journalSlack
	}
	if x.journal.end <= slack {
		return
	}
	if x.journalLive == 0 { // not known since the store was opened
		size, err := x.liveSize()
		if err != nil {
			x.log.Warn("measure the journal", "error", err)
		}
		x.journalLive = max(size, 1)
	}
	if x.journal.end <= 2*x.journalLive+slack {
		return
	}
	before := x.journal.end
	if err := x.renewJournalLocked(x.journal.number + 1); err != nil {
		x.log.Warn("the journal is not compacted", "error", err)
		x.journalLive = before
		return
	}
	x.log.Info("the journal is compacted", "before", before, "after", x.journal.end)
}

// liveSize returns the length of a journal without outdated records.
func (x *Index) liveSize() (int64, error) {
	size := int64(len(journalMagic))
	err := x.dump(func(k, v []byte) error {
		size += int64(len(crclog.Framed.Append(nil, crclog.Record{Key: k, Value: v})))
		return nil
	})
	return size, err
}

// dump gives every record of the journaled tables to put.
func (x *Index) dump(put func(k, v []byte) error) error {
	for _, table := range journaledTables {
		for r, err := range x.Scan(table.Key()) {
			if err != nil {
				return err
			}
			if err := put(r.Key, r.Value); err != nil {
				return err
			}
		}
	}
	return nil
}
