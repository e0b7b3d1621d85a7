package disk

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/MordragT/nuka/pir/cid"
)

// The names in the folder of a store.
const (
	Blobs      = "blobs"
	Index      = "index"
	Meta       = "meta" // the journal
	Tmp        = "tmp"
	Imports    = "imports" // below Tmp: a folder for each running import
	Receive    = "receive" // below Tmp: a folder for each tree that is being received
	quarantine = "quarantine"
	lockFile   = "lock"
	// IndexDamaged marks an index that the next Open rebuilds.
	IndexDamaged = "index.damaged"
	ballastFile  = "ballast"

	// BallastSize is enough room for the index to be opened and to delete records.
	BallastSize = 12 << 20
)

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

// Options change how a Dir works. Nil is all zero.
type Options struct {
	// Log is for operators; nil discards.
	Log *slog.Logger
	// Failpoint is called before each step that changes the disk, with the path it is about; its error becomes the step's.
	// For tests of full disks and crashes; nil: no such calls.
	Failpoint func(Step, string) error
	// Quota is the most bytes of all blobs together; 0: no bound.
	Quota int64
	// Reserve is how much space of the disk new blobs leave free; 0: what the index needs.
	Reserve int64
}

// A Dir is the folder of one store, locked by this process. Methods may be called from many goroutines.
type Dir struct {
	path      string
	log       *slog.Logger
	failpoint func(Step, string) error
	lock      *os.File
	quota     int64
	reserve   int64
	claims    claims
	owners    owners

	// names is read-locked by Naming and locked by Alone.
	names sync.RWMutex

	// comparedMu guards compared: the blobs whose bytes were compared with their hashes, as they were then.
	comparedMu sync.Mutex
	compared   map[cid.CID]stamp
	comparing  singleflight.Group
}

// Open makes the folder of a store if there is none, and locks it; ErrLocked if another process has it.
func Open(path string, o *Options) (*Dir, error) {
	if o == nil {
		o = &Options{}
	}
	d := &Dir{path: path, log: o.Log, failpoint: o.Failpoint, quota: o.Quota, reserve: o.Reserve, compared: map[cid.CID]stamp{}}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	for _, name := range []string{"", Blobs, Index, Meta, Tmp, quarantine} {
		if err := os.MkdirAll(filepath.Join(path, name), 0o755); err != nil {
			return nil, err
		}
	}
	var err error
	d.lock, err = lockStore(filepath.Join(path, lockFile))
	return d, err
}

// Close gives up the lock.
func (d *Dir) Close() error { return unlockStore(d.lock) }

// Path returns a path below the folder.
func (d *Dir) Path(parts ...string) string {
	return filepath.Join(append([]string{d.path}, parts...)...)
}

// Step tells the failpoint of a step and returns its error.
func (d *Dir) Step(step Step, path string) error {
	if d.failpoint == nil {
		return nil
	}
	return d.failpoint(step, path)
}

// Naming calls fn, which gives blobs their final names and commits them to the index. Many calls may run at once.
func (d *Dir) Naming(fn func() error) error {
	d.names.RLock()
	defer d.names.RUnlock()
	return fn()
}

// Alone calls fn, which takes away the final names of blobs, while no Naming runs:
// a blob is then either in the index or not going to be.
func (d *Dir) Alone(fn func() error) error {
	d.names.Lock()
	defer d.names.Unlock()
	return fn()
}

// Quarantined returns the path in the quarantine for a file or folder that is to be set aside.
func (d *Dir) Quarantined(name string) string {
	return d.Path(quarantine, fmt.Sprintf("%s-%d", name, time.Now().UnixNano()))
}

// FillBallast makes the ballast if there is none and enough room.
func (d *Dir) FillBallast() {
	path := d.Path(ballastFile)
	if _, err := os.Lstat(path); err == nil || d.CheckSpace() != nil {
		return
	}
	f, err := os.Create(path)
	if err == nil {
		SetAsideRoom(f, 0, BallastSize)
		err = f.Close()
	}
	if err != nil {
		d.log.Warn("no room is set aside for a full disk", "path", path, "error", err)
	}
}

// DropBallast deletes the ballast and says whether that has made room.
func (d *Dir) DropBallast() bool { return os.Remove(d.Path(ballastFile)) == nil }
