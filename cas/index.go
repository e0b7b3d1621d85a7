package cas

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/MordragT/nuka/internal/crclog"
)

// reserve is the free space that imports and new records leave to the index,
// so that a full disk stops an import and not pebble, and removing things always works.
const reserve = 16 << 20

// openPebble opens the database, making it when there is none.
func (s *Store) openPebble() (err error) {
	defer func() {
		if p := recover(); p != nil { // pebble panics on some kinds of damage
			err = fmt.Errorf("open index: %v", p)
		}
	}()
	cache := pebble.NewCache(16 << 20)
	defer cache.Unref()
	o := &pebble.Options{
		Cache:              cache,
		FS:                 s.o.IndexFS,
		FormatMajorVersion: pebble.FormatNewest,
		Logger:             pebbleLog{s.log},
		EventListener: &pebble.EventListener{
			// Without this pebble ends the process when it finds damage in a goroutine of its own.
			DataCorruption: func(info pebble.DataCorruptionInfo) { s.markDamaged(info.Details) },
			// Pebble tries again at once and for ever. On a full disk that needs the ballast, or at least a pause.
			BackgroundError: func(err error) {
				if !errors.Is(err, syscall.ENOSPC) || os.Remove(s.path(ballastFile)) != nil {
					time.Sleep(50 * time.Millisecond)
				}
				s.log.Error("background work of the index", "error", err)
			},
		},
		MemTableSize:                8 << 20,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       2,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	s.db, err = pebble.Open(s.path(indexDir), o)
	return err
}

// pebbleLog passes what pebble says on to the log.
type pebbleLog struct{ log *slog.Logger }

func (l pebbleLog) Infof(format string, args ...any) {
	l.log.Debug("pebble: " + fmt.Sprintf(format, args...))
}
func (l pebbleLog) Errorf(format string, args ...any) {
	l.log.Error("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf must not return. The panic is caught by commit, where pebble's fatal errors come up;
// in a goroutine of pebble's own it ends the process, and the next Open recovers.
func (l pebbleLog) Fatalf(format string, args ...any) {
	panic(errIndexFatal{fmt.Sprintf(format, args...)})
}

type errIndexFatal struct{ text string }

func (e errIndexFatal) Error() string { return e.text }

// openIndex opens the index and the journal. A reason is returned when the index must be rebuilt.
func (s *Store) openIndex() (reason string, err error) {
	if _, err := os.Lstat(s.path(damagedFile)); err == nil {
		return "it was found damaged", nil
	}
	if err := s.openPebble(); err != nil {
		if isDamage(err) {
			return "it is damaged: " + err.Error(), nil
		}
		return "", fmt.Errorf("open index: %w", err)
	}
	version, err := s.get([]byte{keyVersion})
	switch {
	case errors.Is(err, ErrNotFound):
		empty, err := s.isNew()
		if err != nil {
			return "", err
		}
		if !empty {
			return "it is missing", nil
		}
		return "", s.initIndex()
	case err != nil:
		if isDamage(err) {
			return "it is damaged: " + err.Error(), nil
		}
		return "", err
	case string(version) != formatVersion:
		return "", otherFormat(string(version))
	}
	return "", s.openJournal()
}

// otherFormat is the error for a store that this program cannot read, and leaves as it is.
func otherFormat(format string) error {
	return fmt.Errorf("it has format %q and this program reads %q: use the version of nuka that made it, "+
		"or move the folder away, and what is wanted is fetched and built again", format, formatVersion)
}

// isDamage tells errors about the content of the index from those about the machine.
func isDamage(err error) bool {
	var path *os.PathError
	return pebble.IsCorruptionError(err) || errors.Is(err, ErrDamaged) || errors.Is(err, errValue) ||
		!errors.As(err, &path) || errors.Is(err, os.ErrNotExist)
}

func (s *Store) isNew() (bool, error) {
	numbers, err := journalNumbers(s.path(metaDir))
	if err != nil || len(numbers) > 0 {
		return false, err
	}
	blobs, err := os.ReadDir(s.path(blobsDir))
	return len(blobs) == 0, err
}

func (s *Store) initIndex() (err error) {
	s.journal, err = newJournal(s.path(metaDir), s.path(tmpDir), 1, func(func(k, v []byte) error) error { return nil })
	if err != nil {
		return err
	}
	c := s.change()
	c.set([]byte{keyVersion}, []byte(formatVersion))
	return s.commit(c, durable)
}

// A changes is a set of changes that are committed together.
type changes struct {
	b       *pebble.Batch
	journal []byte
}

func (s *Store) change() *changes { return &changes{b: s.db.NewBatch()} }

// set and del change a table; those of journaled keys are also written to the journal.
func (c *changes) set(k, v []byte) {
	c.b.Set(k, v, nil) //nolint:errcheck // a batch is memory
	if journaled(k) {
		c.journal = crclog.Framed.Append(c.journal, crclog.Record{Key: k, Value: v})
	}
}

func (c *changes) del(k []byte) {
	c.b.Delete(k, nil) //nolint:errcheck // a batch is memory
	if journaled(k) {
		c.journal = crclog.Framed.Append(c.journal, crclog.Record{Deleted: true, Key: k})
	}
}

// journaled says whether a record is copied in the journal: see the tables.
func journaled(k []byte) bool {
	switch k[0] {
	case keyNode, keyPIR, keyAtt, keyBound, keyRoot:
		return true
	}
	return false
}

const (
	durable = true
	// soon is for records that are worth nothing without a later durable one.
	soon = false
)

// commit applies the changes. With durable they are on disk when it returns; otherwise when a later durable commit has.
func (s *Store) commit(c *changes, sync bool) error {
	return s.finishCommit(c, sync, s.beginCommit(c, sync))
}

// update commits changes of records that build reads first.
// No other update reads or writes between them: two calls at once could otherwise both act on the old record.
// It is durable as commit is. A later update sees it before it is on disk, and is on disk no earlier.
func (s *Store) update(sync bool, build func(c *changes) error) error {
	c := &changes{b: s.db.NewIndexedBatch()} // so that build can read what it has put
	s.updateMu.Lock()
	err := build(c)
	unchanged := err == nil && !sync && c.b.Empty()
	if err == nil && !unchanged {
		err = s.beginCommit(c, sync)
	}
	s.updateMu.Unlock()
	if err != nil || unchanged {
		c.b.Close() //nolint:errcheck // memory
		return err
	}
	return s.finishCommit(c, sync, nil)
}

// beginCommit makes the changes visible, in the order in which they reach the disk.
func (s *Store) beginCommit(c *changes, sync bool) (err error) {
	defer catchFatal(&err)
	if err := s.step(StepJournal, journalPrefix); err != nil {
		return err
	}
	if err := s.step(StepCommit, indexDir); err != nil {
		return err
	}
	return s.apply(c, sync)
}

// finishCommit waits until the changes are on disk if they must be, unless err says that they were not made.
func (s *Store) finishCommit(c *changes, sync bool, err error) (failed error) {
	defer c.b.Close() //nolint:errcheck // memory
	defer catchFatal(&failed)
	if err != nil || !sync {
		return err
	}
	if err := c.b.SyncWait(); err != nil {
		return err
	}
	s.compactJournal()
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

func (s *Store) apply(c *changes, sync bool) error {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	start := s.journal.end
	if err := s.journal.append(c.journal); err != nil {
		return err
	}
	c.b.Set([]byte{keyJournal}, s.journal.position(), nil) //nolint:errcheck // a batch is memory
	err := error(nil)
	if sync {
		err = s.db.ApplyNoSyncWait(c.b, pebble.Sync)
	} else {
		err = s.db.Apply(c.b, pebble.NoSync)
	}
	if err != nil {
		s.journal.end = start
		return fmt.Errorf("commit: %w", err)
	}
	if s.journal.end-s.journal.synced > 4<<20 {
		if err := s.journal.f.Sync(); err != nil {
			return fmt.Errorf("sync journal: %w", err)
		}
		s.journal.synced = s.journal.end
	}
	return nil
}

// syncJournal makes the journal durable and lets the index know.
func (s *Store) syncJournal() error {
	s.commitMu.Lock()
	done := s.journal.synced == s.journal.end
	var err error
	if !done {
		if err = s.journal.f.Sync(); err == nil {
			s.journal.synced = s.journal.end
		}
	}
	s.commitMu.Unlock()
	if done || err != nil {
		return err
	}
	return s.commit(s.change(), soon)
}

// get returns a copy of the value, or ErrNotFound.
func (s *Store) get(k []byte) ([]byte, error) {
	v, closer, err := s.db.Get(k)
	if err != nil {
		if errors.Is(err, pebble.ErrNotFound) {
			return nil, ErrNotFound
		}
		return nil, s.indexError(err)
	}
	v = slices.Clone(v)
	return v, closer.Close()
}

func (s *Store) has(k []byte) (bool, error) {
	_, closer, err := s.db.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, s.indexError(err)
	}
	return true, closer.Close()
}

// indexError turns pebble's error about damage into ours, and has the next Open rebuild the index.
func (s *Store) indexError(err error) error {
	if !pebble.IsCorruptionError(err) {
		return fmt.Errorf("read index: %w", err)
	}
	s.markDamaged(err)
	return fmt.Errorf("read index: %w: %v; reopen the store to rebuild it", ErrDamaged, err)
}

func (s *Store) markDamaged(reason error) {
	f, err := os.Create(s.path(damagedFile))
	if err == nil {
		err = f.Close()
	}
	s.log.Error("the index is damaged; it is rebuilt when the store is opened again", "reason", reason, "error", err)
}

// A scanned is a value, or the error that ended a scan.
type scanned struct {
	value []byte
	err   error
}

// scan yields the records whose keys start with prefix. Keys and values are valid until the next one;
// after an error, which has no key, there is no next one.
func (s *Store) scan(prefix []byte) func(yield func([]byte, scanned) bool) {
	return s.scanOf(s.db, prefix)
}

// scanOf is scan of the index as r sees it.
func (s *Store) scanOf(r pebble.Reader, prefix []byte) func(yield func([]byte, scanned) bool) {
	return func(yield func([]byte, scanned) bool) {
		it, err := r.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
		if err != nil {
			yield(nil, scanned{err: s.indexError(err)})
			return
		}
		for ok := it.First(); ok; ok = it.Next() {
			v, err := it.ValueAndErr()
			if err != nil {
				break
			}
			if !yield(it.Key(), scanned{value: v}) {
				it.Close() //nolint:errcheck // the caller has had enough
				return
			}
		}
		if err := errors.Join(it.Error(), it.Close()); err != nil {
			yield(nil, scanned{err: s.indexError(err)})
		}
	}
}
