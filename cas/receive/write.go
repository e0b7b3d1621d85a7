package receive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/pir/cid"
)

// spaceEvery is how many bytes are written between looks at the free space.
const spaceEvery = 4 << 20

// A largeFile is a file of several leaves that is being received.
type largeFile struct {
	blob   cid.CID
	size   int64
	leaves []int32 // of Receiving.leaves
	named  bool    // it has its final name

	mu   sync.Mutex
	made bool // the file exists and has its room
}

func (f *largeFile) name() string { return partPrefix + f.blob.String() }

// putLeaf takes in a leaf.
func (r *Receiving) putLeaf(b cid.Block, compared bool) error {
	r.mu.Lock()
	i, ok := r.byDigest[b.CID.Digest()]
	if !ok || !r.planned.Load() {
		r.mu.Unlock()
		return ErrUnwanted
	}
	l := &r.leaves[i]
	if l.state.Load() != leafMissing {
		r.mu.Unlock()
		return nil
	}
	size := l.size
	r.mu.Unlock()
	switch {
	case !compared && cid.Sum(cid.Raw, b.Data) != b.CID:
		return ErrWrongBlock
	case len(b.Data) > cid.LeafSize:
		return fmt.Errorf("%w: the leaf has %d bytes, more than %d", ErrBadTree, len(b.Data), cid.LeafSize)
	case size >= 0 && len(b.Data) != int(size):
		return fmt.Errorf("%w: the leaf has %d bytes, not %d", ErrBadTree, len(b.Data), size)
	}
	r.mu.Lock()
	if l.state.Load() != leafMissing {
		r.mu.Unlock()
		return nil
	}
	if err := r.makeFolder(); err != nil {
		r.mu.Unlock()
		return err
	}
	l.state.Store(leafBusy)
	r.mu.Unlock()
	placed, err := r.writeLeaf(i, b.Data)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		l.state.Store(leafMissing)
		return err
	}
	if l.size < 0 {
		l.size = int32(len(b.Data))
		r.total.Store(int64(l.size))
	}
	return r.leafIsDone(i, placed)
}

// leafIsDone records that a leaf was written to all its places. The caller holds mu.
func (r *Receiving) leafIsDone(i int32, placed bool) error {
	l := &r.leaves[i]
	l.placed = placed
	l.state.Store(leafDone) // from now on peers get it
	if r.planned.Load() {
		r.left--
		r.done.Add(int64(l.size))
	}
	if placed {
		return r.logPlaced(l.cid())
	}
	return nil
}

// writeLeaf writes a leaf to all its places, and says whether it got the final name of a blob.
func (r *Receiving) writeLeaf(i int32, data []byte) (placed bool, err error) {
	if n := r.written.Add(int64(len(data))); n-r.checked.Load() > spaceEvery {
		r.checked.Store(n)
		if err := r.s.Dir.CheckSpace(); err != nil {
			return false, err
		}
	}
	l := &r.leaves[i]
	for u := l.uses; u >= 0; u = r.uses[u].next {
		use := r.uses[u]
		if err := r.writePart(r.files[use.file], int(use.index), data); err != nil {
			return false, err
		}
	}
	if l.own {
		placed, err = r.writeSmall(l.cid(), data)
		l.owned = l.owned || placed
	}
	return placed, err
}

// writeSmall makes the blob of a small file under its final name, or beside it if the name exists.
func (r *Receiving) writeSmall(blob cid.CID, data []byte) (placed bool, err error) {
	f, path, placed, err := r.s.Dir.CreateBlob(blob, &r.folders, func() (string, error) {
		path := r.besidePath(blob)
		return path, disk.RemoveIfThere(path)
	})
	if err != nil {
		return false, err
	}
	err = r.s.Dir.WriteAll(f, path, data)
	switch {
	case err == nil:
		return placed, nil
	case placed:
		err = errors.Join(err, r.s.Dir.Unplace([]cid.CID{blob}, r.s.Blocks.Indexed))
		r.s.Dir.Disown(blob)
		return false, err
	}
	return false, errors.Join(err, os.Remove(path))
}

func (r *Receiving) besidePath(blob cid.CID) string {
	return filepath.Join(r.dir, leafPrefix+blob.String())
}

// writePart writes a leaf to its place in a file.
func (r *Receiving) writePart(f *largeFile, index int, data []byte) error {
	path := filepath.Join(r.dir, f.name())
	if err := r.makePart(f, path); err != nil {
		return err
	}
	if err := r.s.Dir.Step(disk.StepWrite, path); err != nil {
		return err
	}
	out, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer out.Close() //nolint:errcheck // the sync before the name finds every error
	offset := int64(index) * cid.LeafSize
	_, err = out.WriteAt(data, offset)
	disk.StartWriting(out, offset, int64(len(data)))
	return err
}

// makePart makes a partial file with room for all of it.
func (r *Receiving) makePart(f *largeFile, path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.made {
		return nil
	}
	if err := r.s.Dir.Step(disk.StepCreate, path); err != nil {
		return err
	}
	out, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	err = disk.ReserveSpace(out, f.size)
	if err == nil {
		err = out.Truncate(f.size)
	}
	if e := out.Close(); err == nil {
		err = e
	}
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	f.made = true
	return nil
}

func (f *largeFile) leafSize(i int) int64 {
	return min(cid.LeafSize, f.size-int64(i)*cid.LeafSize)
}

func (r *Receiving) isDone(i int32) bool { return r.leaves[i].state.Load() == leafDone }
