package cas

import (
	"errors"
	"fmt"
	"os"

	"github.com/cockroachdb/pebble/v2"

	"github.com/MordragT/nuka/internal/crclog"
)

// This file keeps the journal beside the index: it opens the journal that the index names, writes it anew where it has lost
// records, and where most of its records are outdated.

// openJournal opens the journal that the index names, cuts off what was never committed,
// and writes it anew from the index when the disk has lost a part of it.
func (s *Store) openJournal() error {
	value, err := s.get([]byte{keyJournal})
	if err != nil {
		return err
	}
	number, end, synced, err := decodePosition(value)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(s.path(metaDir, journalName(number)), os.O_RDWR, 0)
	if err == nil {
		var good, size int64
		if info, e := f.Stat(); e == nil && info.Size() >= end {
			size = info.Size()
			good, err = readJournal(f, synced, end, func(crclog.Record) error { return nil })
		}
		if good == end && err == nil {
			s.journal = &journal{f: f, number: number, end: end, synced: synced}
			if size > end { // which also gives up the room beyond it
				if err := f.Truncate(end); err != nil {
					return err
				}
			}
			// A renewal that a crash cut off before the index knew of it has left a journal with a higher number,
			// which a rebuild would take for the newest.
			return s.removeJournals(number)
		}
		f.Close() //nolint:errcheck // replaced below
	}
	s.log.Warn("the journal has lost records and is written anew from the index", "journal", number)
	return s.renewJournal(number + 1)
}

// renewJournal writes a journal from the index and removes the others.
func (s *Store) renewJournal(number uint64) error {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	return s.renewJournalLocked(number)
}

func (s *Store) renewJournalLocked(number uint64) error {
	j, err := newJournal(s.path(metaDir), s.path(tmpDir), number, s.dump)
	if err != nil {
		return err
	}
	// What the index says of earlier commits is synced with it.
	if err := s.db.Set([]byte{keyJournal}, j.position(), pebble.Sync); err != nil {
		return errors.Join(fmt.Errorf("commit: %w", err), j.close(), removeIfThere(s.path(metaDir, journalName(number))))
	}
	if s.journal != nil {
		s.journal.close() //nolint:errcheck // replaced
	}
	s.journal = j
	s.journalLive = j.end
	return s.removeJournals(number)
}

// removeJournals removes all journals but the one with a number.
func (s *Store) removeJournals(but uint64) error {
	numbers, err := journalNumbers(s.path(metaDir))
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if n == but {
			continue
		}
		if err := os.Remove(s.path(metaDir, journalName(n))); err != nil {
			return err
		}
	}
	return nil
}

// journalSlack is how many bytes of outdated records a journal may hold, besides as many as it has live ones.
const journalSlack = 64 << 20

// compactJournal writes the journal anew when most of it is outdated. Commits wait meanwhile.
// A journal that cannot be written now, as on a full disk, stays as it is until it has grown by as much again.
func (s *Store) compactJournal() {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	slack := s.o.JournalSlack
	if slack == 0 {
		slack = journalSlack
	}
	if s.journal.end <= slack {
		return
	}
	if s.journalLive == 0 { // not known since the store was opened
		size, err := s.liveSize()
		if err != nil {
			s.log.Warn("measure the journal", "error", err)
		}
		s.journalLive = max(size, 1)
	}
	if s.journal.end <= 2*s.journalLive+slack {
		return
	}
	before := s.journal.end
	if err := s.renewJournalLocked(s.journal.number + 1); err != nil {
		s.log.Warn("the journal is not compacted", "error", err)
		s.journalLive = before
		return
	}
	s.log.Info("the journal is compacted", "before", before, "after", s.journal.end)
}

// liveSize returns the length of a journal without outdated records.
func (s *Store) liveSize() (int64, error) {
	size := int64(len(journalMagic))
	err := s.dump(func(k, v []byte) error {
		size += int64(len(crclog.Framed.Append(nil, crclog.Record{Key: k, Value: v})))
		return nil
	})
	return size, err
}

// dump gives every record of the durable tables to put.
func (s *Store) dump(put func(k, v []byte) error) error {
	for _, table := range []byte{keyNode, keyPIR, keyAtt, keyBound, keyRoot} {
		for k, v := range s.scan([]byte{table}) {
			if err := v.err; err != nil {
				return err
			}
			if err := put(k, v.value); err != nil {
				return err
			}
		}
	}
	return nil
}
