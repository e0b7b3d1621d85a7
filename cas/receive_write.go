package cas

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/MordragT/nuka/pir/cid"
)

// spaceEvery is how many bytes are written between looks at the free space.
const spaceEvery = 4 << 20

// A recvFile is a file of several leaves on its way.
type recvFile struct {
	blob   cid.CID
	size   int64
	leaves []int32 // of Receiving.leaves
	named  bool    // it has its final name

	mu   sync.Mutex
	made bool // the file exists and has its room
}

func (f *recvFile) name() string { return partPrefix + f.blob.String() }

// placeFolders makes the folders of blobs and knows which have new names in them.
type placeFolders struct {
	s    *Store
	mu   sync.Mutex
	made map[string]bool
}

func (p *placeFolders) make(path string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.made[path] {
		return nil
	}
	if p.made == nil {
		p.made = map[string]bool{}
	}
	if err := os.Mkdir(path, 0o755); err == nil {
		p.made[filepath.Dir(path)] = true
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	p.made[path] = true
	return nil
}

func (p *placeFolders) list() []string {
	var all []string
	for d := range p.made {
		all = append(all, d)
	}
	slices.Sort(all)
	return all
}

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
	if err := r.makeDir(); err != nil {
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

// leafIsDone notes that a leaf is on disk wherever it must be. The caller holds mu.
func (r *Receiving) leafIsDone(i int32, placed bool) error {
	l := &r.leaves[i]
	l.placed = placed
	l.state.Store(leafDone) // from now on it is given to others
	if r.planned.Load() {
		r.left--
		r.done.Add(int64(l.size))
	}
	if placed {
		return r.logPlaced(l.cid())
	}
	return nil
}

// writeLeaf writes a leaf, which is whole, to all its places, and says whether it got the final name of a blob.
func (r *Receiving) writeLeaf(i int32, data []byte) (placed bool, err error) {
	if n := r.written.Add(int64(len(data))); n-r.checked.Load() > spaceEvery {
		r.checked.Store(n)
		if err := r.s.checkSpace(); err != nil {
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
		return r.writeSmall(l.cid(), data)
	}
	return false, nil
}

// writeSmall makes a blob of a small file under its final name, as an import does, or beside it when that is taken.
func (r *Receiving) writeSmall(blob cid.CID, data []byte) (placed bool, err error) {
	path := r.s.blobPath(blob)
	if err := r.folders.make(filepath.Dir(path)); err != nil {
		return false, err
	}
	if err := r.s.step(StepCreate, path); err != nil {
		return false, err
	}
	f, err := createPlain(path)
	placed = err == nil
	if errors.Is(err, fs.ErrExist) {
		path = r.besidePath(blob)
		if err := removeIfThere(path); err != nil {
			return false, err
		}
		if err := r.s.step(StepCreate, path); err != nil {
			return false, err
		}
		f, err = createPlain(path)
	}
	if err != nil {
		return false, err
	}
	err = r.s.step(StepWrite, path)
	if err == nil {
		_, err = f.Write(data)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return false, errors.Join(err, os.Remove(path))
	}
	return placed, nil
}

func (r *Receiving) besidePath(blob cid.CID) string {
	return filepath.Join(r.dir, leafPrefix+blob.String())
}

// writePart writes a leaf to its place in a file.
func (r *Receiving) writePart(f *recvFile, index int, data []byte) error {
	path := filepath.Join(r.dir, f.name())
	if err := r.makePart(f, path); err != nil {
		return err
	}
	if err := r.s.step(StepWrite, path); err != nil {
		return err
	}
	out, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer out.Close() //nolint:errcheck // the sync before the name finds every error
	offset := int64(index) * cid.LeafSize
	_, err = out.WriteAt(data, offset)
	startWriting(out, offset, int64(len(data)))
	return err
}

// makePart makes a partial file with room for all of it.
func (r *Receiving) makePart(f *recvFile, path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.made {
		return nil
	}
	if err := r.s.step(StepCreate, path); err != nil {
		return err
	}
	out, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	err = reserveSpace(out, f.size)
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

func (f *recvFile) leafSize(i int) int64 {
	return min(cid.LeafSize, f.size-int64(i)*cid.LeafSize)
}

func (r *Receiving) isDone(i int32) bool { return r.leaves[i].state.Load() == leafDone }
