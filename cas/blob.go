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

// filePlaceSize is the length of a value of the table of files: the blob, and 1 for an executable.
const filePlaceSize = 33

func encodeFilePlace(h blobHash, exec bool) []byte {
	v := append(make([]byte, 0, filePlaceSize), h[:]...)
	if exec {
		return append(v, 1)
	}
	return append(v, 0)
}

func decodeFilePlace(b []byte) (h blobHash, exec bool, err error) {
	if len(b) != filePlaceSize || b[32] > 1 {
		return h, false, errValue
	}
	return blobHash(b[:32]), b[32] == 1, nil
}

// shard is the folder of a blob below blobs, name its file there.
func (h blobHash) place() (shard, name string) {
	name = h.String()
	return name[:2], name
}

func (s *Store) blobPath(h blobHash) string {
	shard, name := h.place()
	return s.dir + string(filepath.Separator) + blobsDir + string(filepath.Separator) + shard + string(filepath.Separator) + name
}

// blobSize returns the size of a blob that the index knows.
// The error is ErrNotFound for one it does not know, and ErrDamaged for one that was set aside; then the size is -1.
func (s *Store) blobSize(h blobHash) (int64, error) {
	v, err := s.get(digestKey(keyBlob, h))
	if err == nil {
		return decodeSize(v)
	}
	if errors.Is(err, ErrNotFound) {
		if damaged, e := s.has(digestKey(keyDamaged, h)); damaged || e != nil {
			return -1, errors.Join(e, fmt.Errorf("blob %s: %w: import its content again", h, ErrDamaged))
		}
	}
	return -1, err
}

// blobOf returns the blob of a file. A leaf of a larger file is no file.
func (s *Store) blobOf(c cid.CID) (h blobHash, size int64, err error) {
	h = blobHash(c.Digest())
	if c.Codec() == cid.DagPB {
		v, err := s.get(digestKey(keyFile, c.Digest()))
		if errors.Is(err, ErrNotFound) {
			if n, e := s.node(c); e == nil && n.Kind != cid.KindFile {
				return h, 0, fmt.Errorf("%s is a %s, not a file", c, n.Kind)
			}
		}
		if err != nil {
			return h, 0, err
		}
		if h, _, err = decodeFilePlace(v); err != nil {
			return h, 0, err
		}
	}
	size, err = s.blobSize(h)
	return h, size, err
}

// openBlob opens a blob that has been compared with its hash since the store was opened,
// and has not been changed since then as far as the file system tells.
// A damaged one is set aside and ErrDamaged returned.
func (s *Store) openBlob(h blobHash, size int64) (*os.File, error) {
	for try := 0; ; try++ {
		f, err := os.Open(s.blobPath(h))
		if err == nil {
			var st stamp
			if st, err = stampOf(f); err == nil && s.isVerified(h, st) {
				return f, nil
			}
		}
		if err == nil {
			err = s.verifyBlob(f, h, size)
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
		healed, err := s.setAside(h, size, reason)
		if err != nil {
			return nil, err
		}
		if !healed || try == 2 {
			return nil, fmt.Errorf("blob %s: %w: %s; import its content again", h, ErrDamaged, reason)
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

func (s *Store) isVerified(h blobHash, st stamp) bool {
	s.verifyMu.Lock()
	defer s.verifyMu.Unlock()
	return s.verified[h] == st
}

// verifyBlob reads a blob and compares it with its hash. Callers that want the same one share the work.
func (s *Store) verifyBlob(f *os.File, h blobHash, size int64) error {
	_, err, _ := s.verifies.Do(string(h[:]), func() (any, error) {
		st, err := stampOf(f)
		if err != nil {
			return nil, err
		}
		if s.isVerified(h, st) {
			return nil, nil
		}
		if st.size != size {
			return nil, errMismatch
		}
		got, err := hashFile(f)
		if err != nil {
			return nil, err
		}
		if got != h {
			return nil, errMismatch
		}
		s.verifyMu.Lock()
		s.verified[h] = st
		s.verifyMu.Unlock()
		return nil, nil
	})
	return err
}

func hashFile(f io.ReaderAt) (h blobHash, err error) {
	hash := blake3.New()
	buf := buffers.Get().(*buffer)
	defer buffers.Put(buf)
	for offset := int64(0); ; {
		n, err := f.ReadAt(buf[:], offset)
		hash.Write(buf[:n]) //nolint:errcheck // never fails
		offset += int64(n)
		if err == io.EOF {
			hash.Sum(h[:0])
			return h, nil
		}
		if err != nil {
			return h, err
		}
	}
}

// setAside moves a damaged blob to the quarantine folder and makes the index say so.
// It returns true when the blob has been replaced by a good one in the meantime.
func (s *Store) setAside(h blobHash, size int64, reason string) (healed bool, err error) {
	s.placeMu.Lock()
	defer s.placeMu.Unlock()
	path := s.blobPath(h)
	f, err := os.Open(path)
	if err == nil {
		got, e := hashFile(f)
		info, e2 := f.Stat()
		f.Close() //nolint:errcheck // it was only read
		if e == nil && e2 == nil && got == h && info.Size() == size {
			return true, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.EIO) {
		return false, err
	}
	known, e := s.has(digestKey(keyBlob, h))
	if e != nil {
		return false, e
	}
	if !known { // someone else was faster
		return false, nil
	}
	c := s.change()
	c.del(digestKey(keyBlob, h))
	c.set(digestKey(keyDamaged, h), nil)
	if err := s.commit(c, durable); err != nil {
		return false, fmt.Errorf("set blob %s aside: %w", h, err)
	}
	s.verifyMu.Lock()
	delete(s.verified, h)
	s.verifyMu.Unlock()
	e2 := Quarantined{Blob: h.String(), Reason: reason}
	if err == nil {
		e2.Path = s.path(quarantineDir, fmt.Sprintf("%s-%d", h, time.Now().UnixNano()))
		if err := os.Rename(path, e2.Path); err != nil {
			return false, fmt.Errorf("set blob %s aside: %w", h, err)
		}
	}
	s.event(e2)
	return false, nil
}

// eachBlobFile calls fn for each file below blobs that has a blob's name; what has another name is left alone.
func (s *Store) eachBlobFile(fn func(h blobHash, path string) error) error {
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
			h, err := parseBlobHash(e.Name())
			if err != nil || e.Name()[:2] != shard.Name() || !e.Type().IsRegular() {
				continue
			}
			if err := fn(h, s.blobPath(h)); err != nil {
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
