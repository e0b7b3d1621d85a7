package cas

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/zeebo/blake3"

	"github.com/MordragT/nuka/pir/cid"
)

const (
	// catchUp is how many leaves that came before their turn one Put adds to the hash of a file.
	catchUp = 4
	// maxHashing bounds the files whose hash is under way: each takes some ten kilobytes.
	maxHashing = 256
	// spaceEvery is how many bytes are written between looks at the free space.
	spaceEvery = 4 << 20
)

// A recvFile is a file of several leaves on its way.
type recvFile struct {
	key    [32]byte // the digest of its root when it is not executable
	size   int64
	leaves []int32 // of Receiving.leaves
	roots  []filePlace

	mu    sync.Mutex
	made  bool // the file exists and has its room
	named bool // it has its final name

	hashMu sync.Mutex
	hash   *blake3.Hasher // of the first leaves; nil: not begun, or done
	hashed int            // leaves
	blob   blobHash       // once all are hashed
}

func (f *recvFile) name() string { return partPrefix + base32Lower.EncodeToString(f.key[:]) }

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
		return r.logPlaced(l.digest, [32]byte{})
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
		return r.writeSmall(l.digest, data)
	}
	return false, nil
}

// writeSmall makes a blob of a small file under its final name, as an import does, or beside it when that is taken.
func (r *Receiving) writeSmall(h blobHash, data []byte) (placed bool, err error) {
	path := r.s.blobPath(h)
	if err := r.folders.make(filepath.Dir(path)); err != nil {
		return false, err
	}
	if err := r.s.step(StepCreate, path); err != nil {
		return false, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	placed = err == nil
	if errors.Is(err, fs.ErrExist) {
		path = r.besidePath(h)
		if err := removeIfThere(path); err != nil {
			return false, err
		}
		if err := r.s.step(StepCreate, path); err != nil {
			return false, err
		}
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
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

func (r *Receiving) besidePath(h blobHash) string { return filepath.Join(r.dir, leafPrefix+h.String()) }

// writePart writes a leaf to its place in a file, and adds it to the hash of the file when it is its turn.
func (r *Receiving) writePart(f *recvFile, index int, data []byte) error {
	path := filepath.Join(r.dir, f.name())
	if err := r.makePart(f, path); err != nil {
		return err
	}
	if err := r.s.step(StepWrite, path); err != nil {
		return err
	}
	out, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer out.Close() //nolint:errcheck // the sync before the name finds every error
	hot := r.isTurn(f, index)
	var hashing sync.WaitGroup
	if hot { // the bytes are in the processor's cache
		hashing.Go(func() { f.hash.Write(data) }) //nolint:errcheck // never fails
	}
	offset := int64(index) * cid.LeafSize
	_, err = out.WriteAt(data, offset)
	startWriting(out, offset, int64(len(data)))
	if hot {
		hashing.Wait()
		f.hashed++
		f.hashMu.Unlock()
	}
	if err != nil || !f.hashMu.TryLock() {
		return err // who hashes now adds this leaf as well, or Finish does
	}
	defer f.hashMu.Unlock()
	return r.hashOn(f, out, catchUp)
}

// isTurn says whether a leaf is the next one that the hash of a file needs; then the caller holds hashMu.
func (r *Receiving) isTurn(f *recvFile, index int) bool {
	if !f.hashMu.TryLock() {
		return false
	}
	if f.hashed == index && r.beginHash(f) {
		return true
	}
	f.hashMu.Unlock()
	return false
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

// beginHash makes the hash of a file unless too many are under way. The caller holds hashMu.
func (r *Receiving) beginHash(f *recvFile) bool {
	if f.hash != nil {
		return true
	}
	if f.hashed > 0 || r.hashing.Load() >= maxHashing {
		return false
	}
	r.hashing.Add(1)
	f.hash = blake3.New()
	return true
}

// hashOn adds up to n leaves that are on disk to the hash of a file, and ends it after the last one.
// The caller holds hashMu.
func (r *Receiving) hashOn(f *recvFile, in io.ReaderAt, n int) error {
	if f.isHashed() || f.hashed == 0 && !r.isDone(f.leaves[0]) || !r.beginHash(f) {
		return nil
	}
	var buf *buffer
	for ; n > 0 && f.hashed < len(f.leaves) && r.isDone(f.leaves[f.hashed]); n-- {
		if buf == nil {
			buf = buffers.Get().(*buffer)
			defer buffers.Put(buf)
		}
		b := buf[:f.leafSize(f.hashed)]
		if _, err := in.ReadAt(b, int64(f.hashed)*cid.LeafSize); err != nil {
			return fmt.Errorf("read what was received: %w", err)
		}
		f.hash.Write(b) //nolint:errcheck // never fails
		f.hashed++
	}
	if f.hashed == len(f.leaves) {
		f.hash.Sum(f.blob[:0])
		f.hash = nil
		r.hashing.Add(-1)
	}
	return nil
}

// isHashed says whether blob is known.
func (f *recvFile) isHashed() bool { return f.hashed == len(f.leaves) && f.hash == nil }

func (f *recvFile) leafSize(i int) int64 {
	return min(cid.LeafSize, f.size-int64(i)*cid.LeafSize)
}

func (r *Receiving) isDone(i int32) bool { return r.leaves[i].state.Load() == leafDone }
