package block

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/pir/cid"
)

// A Store reads the blocks and blobs of one store. Methods may be called from many goroutines.
type Store struct {
	dir         *disk.Dir
	index       *index.Index
	quarantined func(blob cid.CID, path, reason string)

	// anyDamaged says that the index may name a damaged blob. Mostly there is none,
	// and a blob that is not in the index need not be looked for among the damaged ones.
	anyDamaged atomic.Bool
}

// New returns the Store of a folder and its index. quarantined is called when a damaged blob has been set aside,
// with an empty path if it had no file; it must return soon and not call the Store.
func New(dir *disk.Dir, x *index.Index, quarantined func(blob cid.CID, path, reason string)) (*Store, error) {
	s := &Store{dir: dir, index: x, quarantined: quarantined}
	for _, err := range x.Scan(index.Damaged.Key()) {
		if err != nil {
			return nil, err
		}
		s.anyDamaged.Store(true)
		break
	}
	return s, nil
}

// AnyDamaged says whether the index may name a damaged blob. If not, every file that a node of the index names has its blob.
func (s *Store) AnyDamaged() bool { return s.anyDamaged.Load() }

// BlobSize returns the size of a blob that the index has.
// Otherwise the size is -1 and the error ErrNotFound, or ErrDamaged if the blob was set aside.
func (s *Store) BlobSize(blob cid.CID) (int64, error) {
	v, err := s.index.Get(index.BlobKey(blob))
	if err == nil {
		return index.DecodeSize(v)
	}
	if errors.Is(err, disk.ErrNotFound) && s.anyDamaged.Load() {
		if damaged, e := s.index.Has(index.DamagedKey(blob)); damaged || e != nil {
			return -1, errors.Join(e, fmt.Errorf("blob %s: %w: import its content again", blob, disk.ErrDamaged))
		}
	}
	return -1, err
}

// BlobOf returns the blob of the file that c names, and its size. A leaf of a larger file is no file. ErrNotFound, ErrDamaged.
func (s *Store) BlobOf(c cid.CID) (blob cid.CID, size int64, err error) {
	blob = c
	if c.Codec() == cid.DagPB {
		n, err := s.Node(c)
		if err != nil {
			return c, 0, err
		}
		if n.Kind != cid.KindFile {
			return c, 0, fmt.Errorf("%s is a %s, not a file", c, n.Kind)
		}
		blob = disk.BlobOf(c, n)
	}
	size, err = s.BlobSize(blob)
	return blob, size, err
}

// OpenFile opens the blob of the file that c names, as OpenBlob does.
func (s *Store) OpenFile(c cid.CID) (*os.File, error) {
	blob, size, err := s.BlobOf(c)
	if err != nil {
		return nil, err
	}
	return s.OpenBlob(blob, size)
}

// OpenBlob opens a blob that has been compared with its hash since the store was opened,
// and has not been changed since then as far as the file system tells.
// A damaged one is set aside; the error is ErrDamaged.
func (s *Store) OpenBlob(blob cid.CID, size int64) (*os.File, error) {
	var reason string
	for range 3 {
		f, err := s.dir.OpenBlob(blob, size)
		damaged := false
		if reason, damaged = disk.Damage(err); !damaged {
			return f, err
		}
		healed, err := s.setAside(blob, reason)
		if err != nil {
			return nil, err
		}
		if !healed {
			break
		}
	}
	return nil, fmt.Errorf("blob %s: %w: %s; import its content again", blob, disk.ErrDamaged, reason)
}

// Rehash compares a blob with its hash, even if that was done before. A damaged one is set aside; the error is ErrDamaged.
func (s *Store) Rehash(blob cid.CID, size int64) error {
	s.dir.Forget(blob)
	f, err := s.OpenBlob(blob, size)
	if err != nil {
		return err
	}
	return f.Close()
}

// Holds says whether the store has a blob of a size, whole. A damaged one is set aside.
func (s *Store) Holds(blob cid.CID, size int64) (bool, error) {
	known, err := s.BlobSize(blob)
	if err != nil || known != size {
		return false, disk.UnlessAbsent(err)
	}
	f, err := s.OpenBlob(blob, size)
	if err != nil {
		if errors.Is(err, disk.ErrDamaged) {
			err = nil
		}
		return false, err
	}
	return true, f.Close()
}

// Indexed says whether the index has a blob.
func (s *Store) Indexed(blob cid.CID) (bool, error) { return s.index.Has(index.BlobKey(blob)) }

// setAside moves a damaged blob to the quarantine and records that in the index.
// It returns true if a good blob has replaced the damaged one in the meantime.
func (s *Store) setAside(blob cid.CID, reason string) (healed bool, err error) {
	err = s.dir.Alone(func() error {
		whole, err := s.dir.IsWhole(blob)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.EIO) {
			return err
		}
		if healed = whole; healed {
			return nil
		}
		hasFile := err == nil
		known, err := s.Indexed(blob)
		if err != nil || !known { // unknown: another caller was faster
			return err
		}
		s.anyDamaged.Store(true)
		c := s.index.Change()
		c.Delete(index.BlobKey(blob))
		c.Set(index.DamagedKey(blob), nil)
		if err := s.index.Commit(c, index.Durable); err != nil {
			return fmt.Errorf("set blob %s aside: %w", blob, err)
		}
		s.dir.Forget(blob)
		path := ""
		if hasFile {
			path = s.dir.Quarantined(blob.String())
			if err := os.Rename(s.dir.Blob(blob), path); err != nil {
				return fmt.Errorf("set blob %s aside: %w", blob, err)
			}
		}
		s.quarantined(blob, path, reason)
		return nil
	})
	return healed, err
}
