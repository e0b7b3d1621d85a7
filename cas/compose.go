package cas

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/pir/cid"
)

// A Piece is one entry of a tree that Compose stores.
type Piece struct {
	// Entry is the entry with its path in the composed tree, which is not empty.
	// If its CID is not zero, it is a file or link that the store holds, as Entries yields it: the target of a link must be its own. Otherwise it is a new file with the bytes of Data,
	// or a new link. A directory has the pieces below it, whatever its CID.
	Entry
	// Data has the bytes of a new file.
	Data []byte
}

// ComposeOptions describe one composition. Nil is all zero.
type ComposeOptions struct {
	// Parts are the trees that the pieces come from. Compose keeps them from collection while it runs.
	Parts []cid.CID
	// Lease keeps the tree from the moment when it is in the store; nil: the next collection may remove it.
	Lease *Lease
}

// Compose takes a tree into the store that consists of files and links of other trees, and of new ones. It returns the CID that an import of the
// same tree would have. It reads no content of files: its time is in proportion to the number of pieces, whatever their size.
// The pieces may come in any order, and directories above them need no piece. Two pieces of one path are an error, unless both are directories.
// When Compose returns without error, the whole tree is on disk and survives a power cut; otherwise none of it is in the store.
// ErrNotFound if the store does not hold a part; ErrDamaged, or ErrNotFound, if it does not hold a file whole, as far as it knows: see Verify.
func (s *Store) Compose(ctx context.Context, pieces []Piece, o *ComposeOptions) (cid.CID, error) {
	if err := s.calls.Enter(); err != nil {
		return cid.CID{}, fmt.Errorf("compose: %w", err)
	}
	defer s.calls.Leave()
	if o == nil {
		o = &ComposeOptions{}
	}
	im := s.importing(ctx, "a composition")
	defer im.lease.Release()
	c, err := im.run(1, o.Lease, func() (cid.CID, error) { return im.compose(pieces, o.Parts) })
	if err != nil {
		return cid.CID{}, fmt.Errorf("compose: %w", err)
	}
	return c, nil
}

// compose puts the tree of the pieces into files and the changes.
func (im *importing) compose(pieces []Piece, parts []cid.CID) (cid.CID, error) {
	// A collection removes a tree before what is below it. So if a part is there after it is kept, what is below it is there and stays.
	im.lease.Keep(parts...)
	for _, part := range parts {
		ok, err := im.s.blocks.Has(part)
		if err != nil {
			return cid.CID{}, err
		}
		if !ok {
			return cid.CID{}, fmt.Errorf("part %s: %w", part, ErrNotFound)
		}
	}
	limits := im.s.o.Limits.WithDefaults()
	t := &composed{im: im, limits: limits, dirs: map[string]*composedDir{"": {}}}
	for i := range pieces {
		if i%1000 == 0 {
			if err := im.ctx.Err(); err != nil {
				return cid.CID{}, err
			}
		}
		if err := t.add(&pieces[i]); err != nil {
			return cid.CID{}, fmt.Errorf("%.200q: %w", pieces[i].Path, err)
		}
	}
	root, err := t.node(t.dirs[""])
	return root.CID, err
}

// A composed is a tree whose nodes are not made yet.
type composed struct {
	im      *importing
	limits  cid.Limits
	dirs    map[string]*composedDir // by path
	entries int
	bytes   int64
}

type composedDir struct {
	name    string
	depth   int
	entries []cid.DirEntry
	below   []*composedDir
}

// add adds a piece to its directory.
func (t *composed) add(p *Piece) error {
	if !fs.ValidPath(p.Path) || p.Path == "." {
		return errors.New("not a path below the root of a tree")
	}
	if p.Kind == Dir {
		_, err := t.dir(p.Path)
		return err
	}
	above, name := "", p.Path
	if i := strings.LastIndexByte(p.Path, '/'); i >= 0 {
		above, name = p.Path[:i], p.Path[i+1:]
	}
	d, err := t.dir(above)
	if err == nil && p.CID.IsZero() {
		err = t.count(int64(len(p.Data)))
	} else if err == nil {
		err = t.count(p.Size)
	}
	if err != nil {
		return err
	}
	e, err := t.entry(p)
	if err != nil {
		return err
	}
	e.Name = name
	d.entries = append(d.entries, e)
	return nil
}

// count counts an entry against the limits on trees.
func (t *composed) count(size int64) error {
	if t.entries++; t.entries > t.limits.Entries {
		return fmt.Errorf("%w: more than %d entries", cid.ErrLimit, t.limits.Entries)
	}
	if t.bytes += size; t.bytes > t.limits.Bytes {
		return fmt.Errorf("%w: more than %d bytes", cid.ErrLimit, t.limits.Bytes)
	}
	return nil
}

// dir returns a directory, and makes those above it.
func (t *composed) dir(at string) (*composedDir, error) {
	if d := t.dirs[at]; d != nil {
		return d, nil
	}
	above := t.dirs[""]
	if i := strings.LastIndexByte(at, '/'); i >= 0 {
		var err error
		if above, err = t.dir(at[:i]); err != nil {
			return nil, err
		}
	}
	if above.depth >= t.limits.Depth {
		return nil, fmt.Errorf("%w: more than %d directories deep", cid.ErrLimit, t.limits.Depth)
	}
	if err := t.count(0); err != nil {
		return nil, err
	}
	d := &composedDir{name: path.Base(at), depth: above.depth + 1}
	t.dirs[at] = d
	above.below = append(above.below, d)
	return d, nil
}

// entry returns the entry of a file or link. It stores what is new.
func (t *composed) entry(p *Piece) (cid.DirEntry, error) {
	im := t.im
	if p.Kind == Symlink {
		if err := cid.CheckTarget(p.Target); err != nil {
			return cid.DirEntry{}, err
		}
		c, b := cid.Symlink(p.Target)
		if !p.CID.IsZero() {
			if p.CID != c {
				return cid.DirEntry{}, fmt.Errorf("the link %s does not lead to %.200q", p.CID, p.Target)
			}
			return cid.DirEntry{CID: c, Tsize: int64(len(b.Data))}, nil
		}
		return cid.DirEntry{CID: c, Tsize: int64(len(b.Data))}, im.node(b)
	}
	if p.Kind != File {
		return cid.DirEntry{}, fmt.Errorf("an entry of the kind %s", p.Kind)
	}
	if p.CID.IsZero() {
		info := dataInfo{path.Base(p.Path), int64(len(p.Data))}
		e, _, err := im.file(0, p.Path, dataFile{bytes.NewReader(p.Data), info}, info, p.Exec)
		return e, err
	}
	if im.s.blocks.AnyDamaged() {
		if _, _, err := im.s.blocks.BlobOf(p.CID); err != nil {
			return cid.DirEntry{}, err
		}
	}
	return cid.DirEntry{CID: p.CID, Tsize: cid.FileTsize(p.Size, p.Exec)}, nil
}

// node makes the nodes of a directory and of those below it.
func (t *composed) node(d *composedDir) (cid.DirEntry, error) {
	if err := t.im.ctx.Err(); err != nil {
		return cid.DirEntry{}, err
	}
	d.entries = slices.Grow(d.entries, len(d.below))
	for _, child := range d.below {
		e, err := t.node(child)
		if err != nil {
			return cid.DirEntry{}, err
		}
		e.Name = child.name
		d.entries = append(d.entries, e)
	}
	c, blocks, err := cid.Dir(d.entries)
	if err != nil {
		return cid.DirEntry{}, err
	}
	e := cid.DirEntry{CID: c}
	for _, child := range d.entries {
		e.Tsize += child.Tsize
	}
	for _, b := range blocks {
		e.Tsize += int64(len(b.Data))
		if err := t.im.node(b); err != nil {
			return cid.DirEntry{}, err
		}
	}
	return e, nil
}

// A dataFile is a new file of a composition.
type dataFile struct {
	*bytes.Reader
	info dataInfo
}

func (f dataFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f dataFile) Close() error               { return nil }

type dataInfo struct {
	name string
	size int64
}

func (i dataInfo) Name() string       { return i.name }
func (i dataInfo) Size() int64        { return i.size }
func (i dataInfo) Mode() fs.FileMode  { return 0o644 }
func (i dataInfo) ModTime() time.Time { return time.Time{} }
func (i dataInfo) IsDir() bool        { return false }
func (i dataInfo) Sys() any           { return nil }
