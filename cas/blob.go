package cas

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/zeebo/blake3"

	"github.com/MordragT/nuka/pir/cid"
)

// emptyBlob is the blob of a file without bytes.
var emptyBlob = cid.Sum(cid.Raw, nil)

// blobOfRoot returns the blob of the file whose root is n, which c names: the CID that it has when it is not executable.
func blobOfRoot(c cid.CID, n *cid.Node) cid.CID {
	if !n.Exec {
		return c
	}
	if len(n.Links) == 0 {
		return emptyBlob
	}
	if len(n.Links) == 1 && n.Links[0].CID.Codec() == cid.Raw {
		return n.Links[0].CID
	}
	plain := *n
	plain.Exec = false
	return cid.Sum(cid.DagPB, plain.Encode())
}

// hashLeaves hashes the leaves of a file.
func hashLeaves(f io.ReaderAt) (*cid.FileBuilder, error) {
	buf := buffers.Get().(*buffer)
	defer buffers.Put(buf)
	file := cid.NewFile(false)
	for offset := int64(0); ; {
		n, err := f.ReadAt(buf[:], offset)
		if err != nil && err != io.EOF {
			return nil, err
		}
		if n > 0 {
			file.AddLeaf(blake3.Sum256(buf[:n]), int64(n))
		}
		if err == io.EOF {
			return file, nil
		}
		offset += int64(n)
	}
}

// nameOf returns the name of a blob with the bytes of f.
func nameOf(f io.ReaderAt) (cid.CID, error) {
	file, err := hashLeaves(f)
	if err != nil {
		return cid.CID{}, err
	}
	blob, _, _, _ := file.Finish()
	return blob, nil
}

// shardOf returns the folder of a blob below blobs: the two characters before the last, as all begin and end alike.
func shardOf(name string) string { return name[len(name)-3 : len(name)-1] }

func (s *Store) blobPath(blob cid.CID) string {
	name := blob.String()
	return s.dir + string(filepath.Separator) + blobsDir + string(filepath.Separator) + shardOf(name) + string(filepath.Separator) + name
}

// blobSize returns the size of a blob that the index knows.
// The error is ErrNotFound for one it does not know, and ErrDamaged for one that was set aside; then the size is -1.
func (s *Store) blobSize(blob cid.CID) (int64, error) {
	v, err := s.get(blobKey(keyBlob, blob))
	if err == nil {
		return decodeSize(v)
	}
	if errors.Is(err, ErrNotFound) && s.anyDamaged.Load() {
		if damaged, e := s.has(blobKey(keyDamaged, blob)); damaged || e != nil {
			return -1, errors.Join(e, fmt.Errorf("blob %s: %w: import its content again", blob, ErrDamaged))
		}
	}
	return -1, err
}

// blobOf returns the blob of a file. A leaf of a larger file is no file.
func (s *Store) blobOf(c cid.CID) (blob cid.CID, size int64, err error) {
	blob = c
	if c.Codec() == cid.DagPB {
		n, err := s.node(c)
		if err != nil {
			return c, 0, err
		}
		if n.Kind != cid.KindFile {
			return c, 0, fmt.Errorf("%s is a %s, not a file", c, n.Kind)
		}
		blob = blobOfRoot(c, n)
	}
	size, err = s.blobSize(blob)
	return blob, size, err
}

// openBlob opens a blob that has been compared with its hash since the store was opened,
// and has not been changed since then as far as the file system tells.
// A damaged one is set aside and ErrDamaged returned.
func (s *Store) openBlob(blob cid.CID, size int64) (*os.File, error) {
	for try := 0; ; try++ {
		f, err := os.Open(s.blobPath(blob))
		if err == nil {
			var st stamp
			if st, err = stampOf(f); err == nil && s.isVerified(blob, st) {
				return f, nil
			}
		}
		if err == nil {
			err = s.verifyBlob(f, blob, size)
		}
		if err == nil { // look again: the work may have been shared with one who had another file open
			if err = f.Close(); err != nil || try < 2 {
				continue
			}
			err = errMismatch
			f = nil
		}
		if f != nil {
			f.Close() //nolint:errcheck // it was only read
		}
		reason, damaged := damage(err)
		if !damaged {
			return nil, err
		}
		healed, err := s.setAside(blob, reason)
		if err != nil {
			return nil, err
		}
		if !healed || try == 2 {
			return nil, fmt.Errorf("blob %s: %w: %s; import its content again", blob, ErrDamaged, reason)
		}
	}
}

var errMismatch = errors.New("its bytes do not have its hash")

// damage says whether an error means that a blob is not as it was written.
func damage(err error) (string, bool) {
	switch {
	case errors.Is(err, errMismatch):
		return errMismatch.Error(), true
	case errors.Is(err, fs.ErrNotExist):
		return "it is missing", true
	case errors.Is(err, syscall.EIO):
		return "it cannot be read", true
	}
	return "", false
}

func (s *Store) isVerified(blob cid.CID, st stamp) bool {
	s.verifyMu.Lock()
	defer s.verifyMu.Unlock()
	return s.verified[blob] == st
}

// verifyBlob reads a blob and compares it with its hash. Callers that want the same one share the work.
func (s *Store) verifyBlob(f *os.File, blob cid.CID, size int64) error {
	_, err, _ := s.verifies.Do(blob.String(), func() (any, error) {
		st, err := stampOf(f)
		if err != nil {
			return nil, err
		}
		if s.isVerified(blob, st) {
			return nil, nil
		}
		if st.size != size {
			return nil, errMismatch
		}
		got, err := nameOf(f)
		if err != nil {
			return nil, err
		}
		if got != blob {
			return nil, errMismatch
		}
		s.verifyMu.Lock()
		s.verified[blob] = st
		s.verifyMu.Unlock()
		return nil, nil
	})
	return err
}

// setAside moves a damaged blob to the quarantine folder and makes the index say so.
// It returns true when the blob has been replaced by a good one in the meantime.
func (s *Store) setAside(blob cid.CID, reason string) (healed bool, err error) {
	s.placeMu.Lock()
	defer s.placeMu.Unlock()
	path := s.blobPath(blob)
	f, err := os.Open(path)
	if err == nil {
		got, e := nameOf(f)
		f.Close() //nolint:errcheck // it was only read
		if e == nil && got == blob {
			return true, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.EIO) {
		return false, err
	}
	known, e := s.has(blobKey(keyBlob, blob))
	if e != nil {
		return false, e
	}
	if !known { // someone else was faster
		return false, nil
	}
	s.anyDamaged.Store(true)
	c := s.change()
	c.del(blobKey(keyBlob, blob))
	c.set(blobKey(keyDamaged, blob), nil)
	if err := s.commit(c, durable); err != nil {
		return false, fmt.Errorf("set blob %s aside: %w", blob, err)
	}
	s.verifyMu.Lock()
	delete(s.verified, blob)
	s.verifyMu.Unlock()
	e2 := Quarantined{Blob: blob.String(), Reason: reason}
	if err == nil {
		e2.Path = s.path(quarantineDir, fmt.Sprintf("%s-%d", blob, time.Now().UnixNano()))
		if err := os.Rename(path, e2.Path); err != nil {
			return false, fmt.Errorf("set blob %s aside: %w", blob, err)
		}
	}
	s.event(e2)
	return false, nil
}

// eachBlobFile calls fn for each file below blobs that has a blob's name; what has another name is left alone.
func (s *Store) eachBlobFile(fn func(blob cid.CID, path string) error) error {
	shards, err := os.ReadDir(s.path(blobsDir))
	if err != nil {
		return err
	}
	for _, shard := range shards {
		list, err := os.ReadDir(s.path(blobsDir, shard.Name()))
		if err != nil {
			return err
		}
		for _, e := range list {
			blob, err := cid.Parse(e.Name())
			if err != nil || shardOf(e.Name()) != shard.Name() || !e.Type().IsRegular() {
				continue
			}
			if err := fn(blob, s.blobPath(blob)); err != nil {
				return err
			}
		}
	}
	return nil
}

// A stamp changes whenever the file system sees a file change.
type stamp struct {
	size, modified, changed int64
	inode                   uint64
}

func stampOf(f *os.File) (stamp, error) {
	info, err := f.Stat()
	if err != nil {
		return stamp{}, err
	}
	st := stamp{size: info.Size(), modified: info.ModTime().UnixNano()}
	st.addSystem(info)
	return st, nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
