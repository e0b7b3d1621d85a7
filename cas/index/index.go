package index

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/pir/cid"
)

// Options change how an index works. Nil is all zero.
type Options struct {
	// FS is where the database lives; nil: the disk. For tests of lost writes.
	FS vfs.FS
	// JournalSlack is how many bytes of outdated records the journal may hold, besides as many as it has live ones; 0: 64 MiB.
	JournalSlack int64
}

// Events are calls about what happens while an index is opened. They must return soon.
type Events struct {
	// Rebuilding reports that the index is rebuilt, and how far that is.
	Rebuilding func(Progress)
	// Quarantined reports that a damaged blob was moved to a path.
	Quarantined func(blob cid.CID, path, reason string)
}

// Progress is how far a rebuild is.
type Progress struct {
	Reason      string
	Blobs       int
	Bytes       int64
	Done        bool
	Elapsed     time.Duration
	Quarantined int
}

// An Index is the open index of a store. Methods may be called from many goroutines.
type Index struct {
	dir     *disk.Dir
	o       Options
	log     *slog.Logger
	events  Events
	readers int // goroutines that a rebuild reads blobs with

	db *pebble.DB

	// updateMu is held by Update from the reading of records to the commit of the changes that follow from them.
	// It is taken before commitMu.
	updateMu sync.Mutex
	// commitMu keeps the journal and the database in the same order. It guards journal and journalLive.
	commitMu sync.Mutex
	journal  *journal
	// journalLive is about how long the journal is without outdated records; 0: not known.
	journalLive int64
}

// Open opens the index in a folder, and makes it if there is none.
// If it is missing or damaged, Open rebuilds it from the journal and the blobs, of which it reads every byte
// with so many goroutines.
func Open(dir *disk.Dir, o *Options, log *slog.Logger, readers int, events Events) (*Index, error) {
	x := &Index{dir: dir, log: log, readers: readers, events: events}
	if o != nil {
		x.o = *o
	}
	if x.o.FS == nil {
		x.o.FS = vfs.Default
	}
	reason, err := x.open()
	if err == nil && reason != "" {
		err = x.rebuild(context.Background(), reason)
	}
	if err != nil {
		return nil, errors.Join(err, x.Close())
	}
	return x, nil
}

// Close closes the index. No other call may run.
func (x *Index) Close() error {
	var errs []error
	if x.journal != nil {
		if x.db != nil {
			errs = append(errs, x.syncJournal())
		}
		errs = append(errs, x.journal.close())
	}
	if x.db != nil {
		errs = append(errs, x.db.Close())
		x.trimLogs()
	}
	return errors.Join(errs...)
}

// trimLogs frees what pebble allocated behind the ends of its logs: as much as a memTable for each, of which an index at rest uses nothing. What fails is
// left as it is.
func (x *Index) trimLogs() {
	if x.o.FS != vfs.Default {
		return
	}
	dir := x.dir.Path(disk.Index)
	logs, _ := fs.Glob(os.DirFS(dir), "*.log") // the folder's own name may have characters that are special in patterns
	for _, log := range logs {
		name := filepath.Join(dir, log)
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			_ = os.Truncate(name, info.Size())
		}
	}
}

const (
	memTable = 8 << 20
	// blockCache is the room for blocks of tables. Pebble takes the memory of its tables out of the cache: the one that it writes, and one that it
	// writes out or keeps for later. With 16 MiB in all nothing was left for blocks, and each read went to the file.
	blockCache = 32<<20 + 2*memTable
)

// openPebble opens the database, making it if there is none.
func (x *Index) openPebble() (err error) {
	defer func() {
		if p := recover(); p != nil { // pebble panics on some kinds of damage
			err = fmt.Errorf("open index: %v", p)
		}
	}()
	cache := pebble.NewCache(blockCache)
	defer cache.Unref()
	o := &pebble.Options{
		Cache:              cache,
		FS:                 x.o.FS,
		FormatMajorVersion: pebble.FormatNewest,
		Logger:             pebbleLog{x.log},
		EventListener: &pebble.EventListener{
			// Without this pebble ends the process when it finds damage in a goroutine of its own.
			DataCorruption: func(info pebble.DataCorruptionInfo) { x.MarkDamaged(info.Details) },
			// Pebble tries again at once and for ever. On a full disk that needs the ballast, or at least a pause.
			BackgroundError: func(err error) {
				if !errors.Is(err, syscall.ENOSPC) || !x.dir.DropBallast() {
					time.Sleep(50 * time.Millisecond)
				}
				x.log.Error("background work of the index", "error", err)
			},
		},
		MemTableSize:                memTable,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       2,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	x.db, err = pebble.Open(x.dir.Path(disk.Index), o)
	return err
}

// pebbleLog passes messages of pebble on to the log.
type pebbleLog struct{ log *slog.Logger }

func (l pebbleLog) Infof(format string, args ...any) {
	l.log.Debug("pebble: " + fmt.Sprintf(format, args...))
}
func (l pebbleLog) Errorf(format string, args ...any) {
	l.log.Error("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf must not return. Commit catches the panic if pebble failed within it;
// in a goroutine of pebble's own the panic ends the process, and the next Open recovers.
func (l pebbleLog) Fatalf(format string, args ...any) {
	panic(errIndexFatal{fmt.Sprintf(format, args...)})
}

type errIndexFatal struct{ text string }

func (e errIndexFatal) Error() string { return e.text }

// open opens the index and the journal. It returns a reason if the index must be rebuilt.
func (x *Index) open() (reason string, err error) {
	if _, err := os.Lstat(x.dir.Path(disk.IndexDamaged)); err == nil {
		return "it was found damaged", nil
	}
	if err := x.openPebble(); err != nil {
		if isDamage(err) {
			return "it is damaged: " + err.Error(), nil
		}
		return "", fmt.Errorf("open index: %w", err)
	}
	format, err := x.Get(version.Key())
	switch {
	case errors.Is(err, disk.ErrNotFound):
		empty, err := x.isNew()
		if err != nil {
			return "", err
		}
		if !empty {
			return "it is missing", nil
		}
		return "", x.create()
	case err != nil:
		if isDamage(err) {
			return "it is damaged: " + err.Error(), nil
		}
		return "", err
	case string(format) != formatVersion:
		return "", otherFormat(string(format))
	}
	return "", x.openJournal()
}

// otherFormat is the error for a store that this program cannot read and leaves as it is.
func otherFormat(format string) error {
	return fmt.Errorf("it has format %q and this program reads %q: use the version of nuka that made it, "+
		"or move the folder away, and what is wanted is fetched and built again", format, formatVersion)
}

// isDamage tells errors about the content of the index from those about the machine.
func isDamage(err error) bool {
	var path *os.PathError
	return pebble.IsCorruptionError(err) || errors.Is(err, disk.ErrDamaged) || errors.Is(err, ErrValue) ||
		!errors.As(err, &path) || errors.Is(err, os.ErrNotExist)
}

func (x *Index) isNew() (bool, error) {
	numbers, err := journalNumbers(x.dir.Path(disk.Meta))
	if err != nil || len(numbers) > 0 {
		return false, err
	}
	blobs, err := os.ReadDir(x.dir.Path(disk.Blobs))
	return len(blobs) == 0, err
}

func (x *Index) create() (err error) {
	x.journal, err = newJournal(x.dir, 1, func(func(k, v []byte) error) error { return nil })
	if err != nil {
		return err
	}
	return x.commitVersion()
}

func (x *Index) commitVersion() error {
	c := x.Change()
	c.Set(version.Key(), []byte(formatVersion))
	return x.Commit(c, Durable)
}

// Get returns a copy of the value of a record, or disk.ErrNotFound.
func (x *Index) Get(k []byte) ([]byte, error) {
	v, closer, err := x.db.Get(k)
	if err != nil {
		return nil, x.getError(err)
	}
	v = slices.Clone(v)
	return v, closer.Close()
}

// Len returns the length of the value of a record, or disk.ErrNotFound.
func (x *Index) Len(k []byte) (int64, error) {
	v, closer, err := x.db.Get(k)
	if err != nil {
		return 0, x.getError(err)
	}
	return int64(len(v)), closer.Close()
}

func (x *Index) getError(err error) error {
	if errors.Is(err, pebble.ErrNotFound) {
		return disk.ErrNotFound
	}
	return x.readError(err)
}

// Has says whether there is a record with a key.
func (x *Index) Has(k []byte) (bool, error) {
	_, closer, err := x.db.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, x.readError(err)
	}
	return true, closer.Close()
}

// readError turns pebble's error about damage into disk.ErrDamaged, and has the next Open rebuild the index.
func (x *Index) readError(err error) error {
	if !pebble.IsCorruptionError(err) {
		return fmt.Errorf("read index: %w", err)
	}
	x.MarkDamaged(err)
	return fmt.Errorf("read index: %w: %w; reopen the store to rebuild it", disk.ErrDamaged, err)
}

// MarkDamaged has the next Open rebuild the index.
func (x *Index) MarkDamaged(reason error) {
	f, err := os.Create(x.dir.Path(disk.IndexDamaged))
	if err == nil {
		err = f.Close()
	}
	x.log.Error("the index is damaged; it is rebuilt when the store is opened again", "reason", reason, "error", err)
}

// A Row is a record of the index. Its bytes are valid until the next one.
type Row struct{ Key, Value []byte }

// Scan yields the records whose keys start with prefix, in the order of the keys. An error ends it.
func (x *Index) Scan(prefix []byte) iter.Seq2[Row, error] { return x.scan(x.db, prefix, prefix) }

// ScanFrom is Scan without the records whose keys are less than from, which starts with prefix.
func (x *Index) ScanFrom(prefix, from []byte) iter.Seq2[Row, error] {
	return x.scan(x.db, prefix, from)
}

// scan is Scan of the index as r sees it.
func (x *Index) scan(r pebble.Reader, prefix, from []byte) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		it, err := r.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: after(prefix)})
		if err != nil {
			yield(Row{}, x.readError(err))
			return
		}
		for ok := it.First(); ok; ok = it.Next() {
			v, err := it.ValueAndErr()
			if err != nil {
				break
			}
			if !yield(Row{it.Key(), v}, nil) {
				it.Close() //nolint:errcheck // the caller needs no more
				return
			}
		}
		if err := errors.Join(it.Error(), it.Close()); err != nil {
			yield(Row{}, x.readError(err))
		}
	}
}
