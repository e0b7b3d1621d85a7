package receive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/zeebo/blake3"
	"golang.org/x/sync/errgroup"

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/pir/cid"
)

// adopt looks for the leaves that an earlier Receiving has written and compares them with their hashes. The caller holds mu.
func (r *Receiving) adopt(ctx context.Context) error {
	if !r.found {
		return nil
	}
	placed := map[cid.CID]bool{}
	if err := r.placed.flush(); err != nil {
		return err
	}
	_, err := readPlaced(r.dir, func(blob cid.CID) error {
		placed[blob] = true
		return nil
	})
	if err != nil {
		return err
	}
	list, err := os.ReadDir(r.dir)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, e := range list {
		there[e.Name()] = true
	}
	a := &adoption{r: r, bad: map[int32]bool{}, removed: map[cid.CID]bool{}, placed: placed, there: there}
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(r.s.Readers)
	for i := range r.leaves {
		if !r.leaves[i].own {
			continue
		}
		g.Go(func() error { return a.small(running, int32(i)) })
	}
	for _, f := range r.files {
		if placed[f.blob] && !there[f.name()] {
			if err := r.unname(f); err != nil {
				return errors.Join(err, g.Wait())
			}
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	g, running = errgroup.WithContext(ctx)
	g.SetLimit(r.s.Readers)
	for _, f := range r.files {
		g.Go(func() error { return a.part(running, f) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i := range r.leaves {
		if l := &r.leaves[i]; !a.bad[int32(i)] {
			l.state.Store(leafDone)
			l.placed = l.own && placed[l.cid()]
		}
	}
	return r.renewPlaced(a.removed)
}

// renewPlaced writes the records of placed blobs anew without those that were removed:
// another import that makes such a blob from now on must keep it. The caller holds mu.
func (r *Receiving) renewPlaced(removed map[cid.CID]bool) error {
	if len(removed) == 0 {
		return nil
	}
	var b []byte
	_, err := readPlaced(r.dir, func(blob cid.CID) error {
		if !removed[blob] {
			b = append(b, blob.Bytes()...)
		}
		return nil
	})
	if err == nil {
		err = r.placed.f.Truncate(0)
	}
	if err != nil {
		return err
	}
	r.placed.end, r.placed.buf = 0, b
	return r.placed.flush()
}

// unname gives a file that has its final name already its earlier name: Finish was cut off.
func (r *Receiving) unname(f *largeFile) error {
	return r.s.Dir.Alone(func() error {
		known, err := r.s.Blocks.Indexed(f.blob)
		if err != nil || known {
			return err
		}
		err = os.Rename(r.s.Dir.Blob(f.blob), filepath.Join(r.dir, f.name()))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// An adoption compares the files in the folder with their hashes.
type adoption struct {
	r      *Receiving
	placed map[cid.CID]bool
	there  map[string]bool

	mu      sync.Mutex
	bad     map[int32]bool // leaves that are not everywhere where they must be
	removed map[cid.CID]bool
}

func (a *adoption) isBad(i int32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bad[i] = true
}

// remove notes that a leaf must come again and that the record of its placed blob goes.
func (a *adoption) remove(i int32) {
	a.isBad(i)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.removed[a.r.leaves[i].cid()] = true
}

func (a *adoption) small(ctx context.Context, i int32) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l := &a.r.leaves[i]
	blob := l.cid()
	path := a.r.s.Dir.Blob(blob)
	if a.placed[blob] {
		if l.owned = a.r.s.Dir.Own(blob); !l.owned { // the record is old: another import makes the blob now, or a collection removes it
			a.remove(i)
			return nil
		}
	} else {
		path = a.r.besidePath(blob)
		if !a.there[filepath.Base(path)] {
			a.isBad(i)
			return nil
		}
	}
	b, err := readUpTo(path, cid.LeafSize)
	if err == nil && blake3.Sum256(b) == l.digest {
		l.size = int32(len(b))
		if a.placed[blob] {
			err = a.r.folders.Make(path)
		}
		return err
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !a.placed[blob] {
		a.isBad(i)
		return disk.RemoveIfThere(path)
	}
	a.remove(i)
	err = a.r.s.Dir.Unplace([]cid.CID{blob}, a.r.s.Blocks.Indexed)
	a.r.s.Dir.Disown(blob)
	l.owned = false
	return err
}

// readUpTo reads a file of at most so many bytes, and one more of a longer one.
func readUpTo(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return io.ReadAll(io.LimitReader(f, most+1))
}

func (a *adoption) part(ctx context.Context, f *largeFile) error {
	in, err := os.Open(filepath.Join(a.r.dir, f.name()))
	if errors.Is(err, fs.ErrNotExist) {
		for _, i := range f.leaves {
			a.isBad(i)
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it was only read
	info, err := in.Stat()
	if err != nil {
		return err
	}
	f.made = info.Size() == f.size
	buf := disk.GetBuffer()
	defer buf.Free()
	for j, i := range f.leaves {
		if err := ctx.Err(); err != nil {
			return err
		}
		offset := int64(j) * cid.LeafSize
		b := buf[:f.leafSize(j)]
		if !f.made || !disk.MayHaveData(in, offset, int64(len(b))) {
			a.isBad(i)
			continue
		}
		if _, err := in.ReadAt(b, offset); err != nil {
			return fmt.Errorf("read what was received: %w", err)
		}
		if blake3.Sum256(b) != a.r.leaves[i].digest {
			a.isBad(i)
		}
	}
	return nil
}

// copyLocal writes the leaves that are ranges of blobs of the store. The caller holds mu.
func (r *Receiving) copyLocal(ctx context.Context) error {
	for i := range r.leaves {
		l := &r.leaves[i]
		if l.state.Load() != leafMissing {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := r.local(l)
		if disk.UnlessAbsent(err) != nil {
			return err
		}
		if err != nil || l.size >= 0 && len(b) != int(l.size) {
			continue
		}
		if err := r.makeFolder(); err != nil {
			return err
		}
		l.size = int32(len(b))
		placed, err := r.writeLeaf(int32(i), b)
		if err == nil {
			err = r.leafIsDone(int32(i), placed)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// local returns the bytes of a leaf that the store has as a part of another file.
func (r *Receiving) local(l *leaf) ([]byte, error) {
	if l.cid() == disk.Empty {
		return nil, nil
	}
	if l.own && l.uses < 0 { // planning has found no blob of its name
		if known, err := r.s.Index.Has(index.LeafKey(l.cid())); err != nil {
			return nil, err
		} else if !known {
			return nil, disk.ErrNotFound
		}
	}
	return r.s.Blocks.Append(nil, l.cid(), true)
}
