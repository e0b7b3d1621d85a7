package receive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/MordragT/nuka/cas/block"
	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/cas/lease"
	"github.com/MordragT/nuka/pir/cid"
)

// folderAge is how long the folder of a Receiving is kept without another Receive.
const folderAge = 7 * 24 * time.Hour

// A Store is the parts of a store that receiving needs.
type Store struct {
	Dir    *disk.Dir
	Index  *index.Index
	Blocks *block.Store
	Leases *lease.Registry
	Calls  *disk.Calls // each method of a Receiving is a call of the store
	Log    *slog.Logger
	Limits cid.Limits // of each tree
	// Readers is how many goroutines compare what an earlier Receiving has left with its hashes.
	Readers int
}

// A Set is the Receivings of one store. Methods may be called from many goroutines.
type Set struct {
	s Store

	mu  sync.Mutex // guards all
	all map[cid.CID]*Receiving
}

// NewSet returns the set of Receivings of a store.
func NewSet(s Store) *Set { return &Set{s: s, all: map[cid.CID]*Receiving{}} }

// Begin begins to take in the tree that root names, or continues an earlier Receiving of the root, whose blocks on disk
// are compared with their hashes first.
// Two Receivings of one root cannot run at once: ErrReceiving.
func (t *Set) Begin(ctx context.Context, root cid.CID, o *Options) (*Receiving, error) {
	if root.IsZero() {
		return nil, errors.New("receive: no content id")
	}
	r := &Receiving{
		set: t, s: &t.s, root: root, limits: t.s.Limits.WithDefaults(), dir: t.s.Dir.Path(disk.Tmp, disk.Receive, root.String()),
		nodes: map[[32]byte]nodePlace{}, byDigest: map[[32]byte]int32{}, room: t.s.Dir.Claim(), lease: t.s.Leases.New("a tree that is being received"),
	}
	if o != nil {
		if o.RootName != "" {
			if err := index.CheckRootName(o.RootName); err != nil {
				return nil, fmt.Errorf("receive %s: root %q: %w", root, o.RootName, err)
			}
		}
		r.coming, r.rootName, r.after = o.Coming, o.RootName, o.Lease
		if o.Size > 0 {
			r.limits.Bytes = min(r.limits.Bytes, o.Size)
		}
	}
	if r.coming != nil {
		r.coming([]cid.CID{root})
	}
	if !t.add(r) {
		r.lease.Release()
		return nil, fmt.Errorf("receive %s: %w", root, ErrReceiving)
	}
	r.life.Lock()
	defer r.life.Unlock()
	if err := r.load(ctx); err != nil {
		err = r.judge(err)
		return nil, fmt.Errorf("receive %s: %w", root, errors.Join(err, r.end(err, keep)))
	}
	return r, nil
}

// add adds a Receiving unless there is one of its root.
func (t *Set) add(r *Receiving) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all[r.root] != nil {
		return false
	}
	t.all[r.root] = r
	return true
}

func (t *Set) remove(r *Receiving) {
	r.lease.Release()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, r.root)
}

// Live returns the Receivings that have not ended.
func (t *Set) Live() []*Receiving {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.all) == 0 {
		return nil
	}
	list := make([]*Receiving, 0, len(t.all))
	for _, r := range t.all {
		list = append(list, r)
	}
	return list
}

// Close ends every Receiving. No call of the store runs any more.
func (t *Set) Close() error {
	var errs []error
	for _, r := range t.Live() {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}

// eachFolder calls fn for the folder of each Receiving in a store.
func eachFolder(dir *disk.Dir, fn func(path string, info fs.FileInfo) error) error {
	list, err := os.ReadDir(dir.Path(disk.Tmp, disk.Receive))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		info, err := e.Info()
		if err != nil {
			return err
		}
		if err := fn(dir.Path(disk.Tmp, disk.Receive, e.Name()), info); err != nil {
			return err
		}
	}
	return nil
}

// Unclean says whether a Receiving was cut off.
func Unclean(dir *disk.Dir) (bool, error) {
	unclean := false
	err := eachFolder(dir, func(path string, _ fs.FileInfo) error {
		if _, err := os.Lstat(filepath.Join(path, cleanFile)); err != nil {
			unclean = true
		}
		return nil
	})
	return unclean, err
}

// Placed returns the blobs that Receivings have recorded as made under their final names.
func Placed(dir *disk.Dir) (map[cid.CID]bool, error) {
	all := map[cid.CID]bool{}
	err := eachFolder(dir, func(path string, _ fs.FileInfo) error {
		_, err := readPlaced(path, func(blob cid.CID) error {
			all[blob] = true
			return nil
		})
		return err
	})
	return all, err
}

// Expire removes the folders that are too old and marks the others: blobs that no record names have been looked for.
// It runs alone, while the store is being opened.
func (t *Set) Expire() error {
	return eachFolder(t.s.Dir, func(path string, info fs.FileInfo) error {
		_, err := cid.Parse(filepath.Base(path))
		if age := time.Since(info.ModTime()); err != nil || age > folderAge {
			t.s.Log.Info("the folder of a tree that was being received is too old and removed", "path", path, "age", age)
			return t.s.drop(path)
		}
		clean := filepath.Join(path, cleanFile)
		if _, err := os.Lstat(clean); err == nil {
			return nil
		}
		if err := os.WriteFile(clean, nil, 0o644); err != nil { // as on a full disk: then the next Open looks again
			t.s.Log.Warn("mark the folder of a tree that is being received", "path", path, "error", err)
		}
		return os.Chtimes(path, info.ModTime(), info.ModTime())
	})
}

// drop removes the folder of a Receiving and the blobs it has made, but for those that are in the index.
func (s *Store) drop(path string) error {
	var blobs []cid.CID
	_, err := readPlaced(path, func(blob cid.CID) error {
		if s.Dir.Own(blob) { // else the record is old, and another import makes the blob now
			blobs = append(blobs, blob)
		}
		return nil
	})
	defer func() { s.Dir.Disown(blobs...) }()
	if err == nil {
		err = s.Dir.Unplace(blobs, s.Blocks.Indexed)
	}
	if err != nil {
		return err
	}
	return s.removeFolder(path)
}

func (s *Store) removeFolder(path string) error {
	if err := s.Dir.Step(disk.StepRemove, path); err != nil {
		return err
	}
	return os.RemoveAll(path)
}
