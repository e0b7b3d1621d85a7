package cas

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"

	"github.com/MordragT/nuka/cas/block"
	"github.com/MordragT/nuka/cas/collect"
	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/cas/lease"
	"github.com/MordragT/nuka/cas/receive"
	"github.com/MordragT/nuka/pir/cid"
)

// The errors that callers test for; those of receiving are in package receive.
var (
	// ErrNotFound says that the store does not hold the object.
	ErrNotFound = disk.ErrNotFound
	// ErrDamaged says that the bytes of the store's copy do not have its hash. The copy has been set aside;
	// importing the same content again heals it.
	ErrDamaged = disk.ErrDamaged
	// ErrLocked says that another process has the store open.
	ErrLocked = disk.ErrLocked
	// ErrClosed says that Close was called.
	ErrClosed = disk.ErrClosed
)

// Options change how a store works. Nil is all zero.
type Options struct {
	// Event is called about what happens to the store; nil: no calls. It must return soon and not call the store.
	Event func(Event)
	// Log is for operators; nil discards.
	Log *slog.Logger
	// Workers is how many files are hashed at once; 0: one for each processor.
	Workers int
	// Limits bound each import.
	Limits cid.Limits
	// Index changes how the index works.
	Index index.Options
	// Failpoint is called before each step that changes the disk, with the path it is about; its error becomes the step's.
	// For tests of full disks and crashes; nil: no such calls.
	Failpoint func(disk.Step, string) error
	// Quota is the most bytes of files that the store takes in; 0: no bound. Imports and receptions that would exceed it fail before they write.
	Quota int64
	// Reserve is how much space of the disk imports and receptions leave free, beyond the little that the store leaves to itself; 0: no more.
	Reserve int64
}

// A Store is an open content store. Methods may be called from many goroutines.
type Store struct {
	o     Options
	log   *slog.Logger
	calls disk.Calls

	dir    *disk.Dir
	index  *index.Index
	blocks *block.Store
	// receivings is nil until the store is open.
	receivings *receive.Set
	leases     lease.Registry
	collector  *collect.Collector

	noClone atomic.Bool // the file system has no reflinks
	imports atomic.Uint64
}

// Open opens the store in dir, and creates it if there is none; ErrLocked if another process has it.
// It finishes or undoes what a crash has left half done.
// If the index is missing or damaged, Open rebuilds it from the journal and the blobs, of which it reads every byte;
// the old index is kept in the quarantine.
func Open(dir string, o *Options) (*Store, error) {
	s, err := open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	return s, nil
}

func open(dir string, o *Options) (*Store, error) {
	s := &Store{}
	if o != nil {
		s.o = *o
	}
	if s.log = s.o.Log; s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	s.dir, err = disk.Open(dir, &disk.Options{Log: s.log, Failpoint: s.o.Failpoint, Quota: s.o.Quota, Reserve: s.o.Reserve})
	if err != nil {
		return nil, err
	}
	err = s.openParts()
	if errors.Is(err, syscall.ENOSPC) && s.dir.DropBallast() {
		s.closeIndex() //nolint:errcheck // opened again
		err = s.openParts()
	}
	if err != nil {
		return nil, errors.Join(err, s.closeIndex(), s.dir.Close())
	}
	s.dir.FillBallast()
	return s, nil
}

func (s *Store) openParts() error {
	crashed, err := s.leftovers()
	if err != nil {
		return err
	}
	s.index, err = index.Open(s.dir, &s.o.Index, s.log, s.readers(), index.Events{Rebuilding: s.rebuilding, Quarantined: s.quarantined})
	if err != nil {
		return err
	}
	if s.blocks, err = block.New(s.dir, s.index, s.quarantined); err != nil {
		return err
	}
	s.collector = &collect.Collector{Dir: s.dir, Index: s.index, Blocks: s.blocks, Leases: &s.leases}
	s.receivings = receive.NewSet(receive.Store{
		Leases: &s.leases,
		Dir:    s.dir, Index: s.index, Blocks: s.blocks, Calls: &s.calls, Log: s.log, Limits: s.o.Limits, Readers: s.readers(),
	})
	if crashed {
		if err := s.sweep(); err != nil {
			return err
		}
	}
	if err := s.receivings.Expire(); err != nil {
		return err
	}
	if err := s.countBlobs(); err != nil {
		return err
	}
	return os.RemoveAll(s.dir.Path(disk.Tmp, disk.Imports))
}

// readers is how many goroutines read files that are compared or scanned.
func (s *Store) readers() int { return max(s.o.Workers, runtime.GOMAXPROCS(0)) }

// Close waits for running calls and closes the store. Calls that start later return ErrClosed.
func (s *Store) Close() error {
	if !s.calls.Close() {
		return nil
	}
	if err := errors.Join(s.receivings.Close(), s.closeIndex(), s.dir.Close()); err != nil {
		return fmt.Errorf("close store %s: %w", s.dir.Path(), err)
	}
	return nil
}

func (s *Store) closeIndex() error {
	if s.index == nil {
		return nil
	}
	err := s.index.Close()
	s.index = nil
	return err
}

// leftovers removes temporary files and says whether an import or a Receiving was cut off.
// Their folders stay until sweep has looked for their blobs.
func (s *Store) leftovers() (bool, error) {
	files, err := os.ReadDir(s.dir.Path(disk.Tmp))
	if err != nil {
		return false, err
	}
	for _, e := range files {
		if e.Name() == disk.Imports || e.Name() == disk.Receive {
			continue
		}
		if err := os.RemoveAll(s.dir.Path(disk.Tmp, e.Name())); err != nil {
			return false, err
		}
	}
	list, err := os.ReadDir(s.dir.Path(disk.Tmp, disk.Imports))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	unclean, err := receive.Unclean(s.dir)
	return len(list) > 0 || unclean, err
}

// sweep removes blobs that are not in the index: an import was cut off between naming and commit.
// Blobs that a Receiving has recorded stay. It runs alone, while the store is being opened.
func (s *Store) sweep() error {
	spare, err := receive.Placed(s.dir)
	if err != nil {
		return err
	}
	removed := 0
	err = s.dir.EachBlob(func(blob cid.CID, path string) error {
		known, err := s.blocks.BlobSize(blob)
		if known >= 0 || disk.UnlessAbsent(err) != nil || spare[blob] {
			return disk.UnlessAbsent(err)
		}
		removed++
		return os.Remove(path)
	})
	s.event(Recovered{Removed: removed})
	return err
}
