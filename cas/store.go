package cas

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sync/singleflight"

	"github.com/MordragT/nuka/pir/cid"
)

// The errors that callers test for.
var (
	// ErrNotFound says that the store does not hold what was asked for.
	ErrNotFound = errors.New("not in the store")
	// ErrDamaged says that the store's copy is not what its hash names. It has been set aside;
	// importing the same content again heals it.
	ErrDamaged = errors.New("damaged in the store")
	// ErrLocked says that another process has the store open.
	ErrLocked = errors.New("the store is in use by another process")
	// ErrClosed says that Close was called.
	ErrClosed = errors.New("the store is closed")
)

// Options change how a store works. Nil is all zero.
type Options struct {
	// Event is told what happens to the store; nil: nobody. It must return soon and not call the store.
	Event func(Event)
	// Log is for operators; nil discards.
	Log *slog.Logger
	// Workers is how many files are hashed at once; 0: one for each processor.
	Workers int
	// Limits bound each import.
	Limits cid.Limits
	// JournalSlack is how many bytes of outdated records the journal may hold, besides as many as it has live ones; 0: 64 MiB.
	JournalSlack int64
	// IndexFS is where the index lives; nil: the disk. For tests of lost writes.
	IndexFS vfs.FS
	// Failpoint is called before each step that changes the disk, with the path it is about;
	// its error becomes the step's. For tests of full disks and crashes; nil: no such calls.
	Failpoint func(Step, string) error
}

// A Step is a kind of change to the disk.
type Step string

// The steps, in the order in which an import takes them.
const (
	StepCreate  Step = "create"  // a temporary file is made
	StepWrite   Step = "write"   // bytes are written to it
	StepSync    Step = "sync"    // the bytes of temporary files are made durable
	StepRename  Step = "rename"  // a file gets its final name
	StepSyncDir Step = "syncdir" // final names are made durable
	StepJournal Step = "journal" // the journal is extended
	StepCommit  Step = "commit"  // the index is changed, durably
	StepRemove  Step = "remove"  // temporary files are removed
)

// A Store is an open content store. All methods may be called from many goroutines.
type Store struct {
	dir     string
	o       Options
	log     *slog.Logger
	lock    *os.File
	db      *pebble.DB
	journal *journal // guarded by commitMu
	// journalLive is about how long the journal is without outdated records; 0: not known. Guarded by commitMu.
	journalLive int64

	// updateMu is held by update while records are read and what follows from them is committed. It is taken before commitMu.
	updateMu sync.Mutex
	// commitMu keeps the journal and the index in the same order.
	commitMu sync.Mutex
	// placeMu is read-locked while blobs get their names and written to while one is set aside.
	placeMu sync.RWMutex

	verifyMu sync.Mutex
	verified map[cid.CID]stamp
	verifies singleflight.Group

	// anyDamaged says that the index may name a blob that was set aside. Mostly there is none, and whatever is not here need not be
	// looked for among those.
	anyDamaged atomic.Bool

	noClone atomic.Bool // the file system has no reflinks
	imports atomic.Uint64

	receivingMu sync.Mutex
	receiving   map[cid.CID]*Receiving

	closeMu sync.Mutex
	closed  bool
	calls   sync.WaitGroup
}

const (
	blobsDir      = "blobs"
	indexDir      = "index"
	metaDir       = "meta"
	tmpDir        = "tmp"
	quarantineDir = "quarantine"
	lockFile      = "lock"
	damagedFile   = "index.damaged"
	ballastFile   = "ballast"

	// ballast is room for the index to be opened and to forget things.
	ballast = 12 << 20
)

// Open opens the store in dir, which it creates when there is none; ErrLocked when another process has it.
// It finishes or undoes what a crash has left half done.
// When the index is missing or damaged, it rebuilds it first: see Rebuild.
func Open(dir string, o *Options) (*Store, error) {
	s, err := open(dir, o, false)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	return s, nil
}

// Rebuild makes the index anew from the blobs and the journal, reading every blob.
// The old index is kept in the quarantine folder. The store must not be open.
func Rebuild(dir string, o *Options) error {
	s, err := open(dir, o, true)
	if err != nil {
		return fmt.Errorf("rebuild index of store %s: %w", dir, err)
	}
	return s.Close()
}

func open(dir string, o *Options, rebuild bool) (*Store, error) {
	s := &Store{dir: dir, verified: map[cid.CID]stamp{}, receiving: map[cid.CID]*Receiving{}}
	if o != nil {
		s.o = *o
	}
	if s.log = s.o.Log; s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.o.IndexFS == nil {
		s.o.IndexFS = vfs.Default
	}
	for _, d := range []string{"", blobsDir, indexDir, metaDir, tmpDir, quarantineDir} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	lock, err := lockStore(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, err
	}
	s.lock = lock
	err = s.openParts(rebuild)
	if errors.Is(err, syscall.ENOSPC) && os.Remove(s.path(ballastFile)) == nil {
		lock, s.lock = s.lock, nil
		s.closeParts() //nolint:errcheck // opened again
		s.lock, s.db, s.journal = lock, nil, nil
		err = s.openParts(rebuild)
	}
	if err != nil {
		return nil, errors.Join(err, s.closeParts())
	}
	s.fillBallast()
	return s, nil
}

// fillBallast makes the file that is removed when the store must be opened on a full disk,
// which the index cannot do without some room.
func (s *Store) fillBallast() {
	path := s.path(ballastFile)
	if _, err := os.Lstat(path); err == nil || s.checkSpace() != nil {
		return
	}
	f, err := os.Create(path)
	if err == nil {
		setAsideRoom(f, 0, ballast)
		err = f.Close()
	}
	if err != nil {
		s.log.Warn("no room is set aside for a full disk", "path", path, "error", err)
	}
}

func (s *Store) openParts(rebuild bool) error {
	crashed, err := s.leftovers()
	if err != nil {
		return err
	}
	reason := "asked for"
	if !rebuild {
		reason, err = s.openIndex()
		if err != nil {
			return err
		}
		rebuild = reason != ""
	}
	if rebuild {
		if err := s.rebuild(context.Background(), reason); err != nil {
			return err
		}
	}
	for _, v := range s.scan([]byte{keyDamaged}) {
		if v.err != nil {
			return v.err
		}
		s.anyDamaged.Store(true)
		break
	}
	if crashed {
		if err := s.sweep(); err != nil {
			return err
		}
	}
	if err := s.expireReceived(); err != nil {
		return err
	}
	return os.RemoveAll(s.path(tmpDir, importsDir))
}

// Close waits for running calls and closes the store. Calls that start later return ErrClosed.
func (s *Store) Close() error {
	s.closeMu.Lock()
	closed := s.closed
	s.closed = true
	s.closeMu.Unlock()
	if closed {
		return nil
	}
	s.calls.Wait()
	if err := errors.Join(s.closeReceiving(), s.closeParts()); err != nil {
		return fmt.Errorf("close store %s: %w", s.dir, err)
	}
	return nil
}

func (s *Store) closeParts() error {
	var errs []error
	if s.journal != nil {
		if s.db != nil {
			errs = append(errs, s.syncJournal())
		}
		errs = append(errs, s.journal.close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.lock != nil {
		errs = append(errs, unlockStore(s.lock))
	}
	return errors.Join(errs...)
}

// enter starts a call; the caller must call leave when err is nil.
func (s *Store) enter() error {
	s.closeMu.Lock()
	defer s.closeMu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.calls.Add(1)
	return nil
}

func (s *Store) leave() { s.calls.Done() }

func (s *Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

func (s *Store) step(step Step, path string) error {
	if s.o.Failpoint == nil {
		return nil
	}
	return s.o.Failpoint(step, path)
}

func (s *Store) event(e Event) {
	s.log.Info(e.String())
	if s.o.Event != nil {
		s.o.Event(e)
	}
}

// leftovers removes temporary files and says whether an import or a Receiving was cut off;
// their folders stay until what they have named has been looked for.
func (s *Store) leftovers() (bool, error) {
	files, err := os.ReadDir(s.path(tmpDir))
	if err != nil {
		return false, err
	}
	for _, e := range files {
		if e.Name() == importsDir || e.Name() == receiveDir {
			continue
		}
		if err := os.RemoveAll(s.path(tmpDir, e.Name())); err != nil {
			return false, err
		}
	}
	list, err := os.ReadDir(s.path(tmpDir, importsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	unclean, err := s.uncleanReceived()
	return len(list) > 0 || unclean, err
}

// sweep removes blobs that no commit has named: an import was cut off between naming and commit.
// Those that a Receiving has written down stay. It runs alone, while the store is being opened.
func (s *Store) sweep() error {
	spare, err := s.placedByReceiving()
	if err != nil {
		return err
	}
	removed := 0
	err = s.eachBlobFile(func(blob cid.CID, path string) error {
		known, err := s.blobSize(blob)
		if known >= 0 || unlessAbsent(err) != nil || spare[blob] {
			return unlessAbsent(err)
		}
		removed++
		return os.Remove(path)
	})
	s.event(Recovered{Removed: removed})
	return err
}
