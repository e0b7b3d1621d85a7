package cas

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/MordragT/nuka/pir/cid"
)

// Kind says what an entry of a tree is.
type Kind uint8

// The kinds of entries.
const (
	File Kind = iota + 1
	Dir
	Symlink
)

// String returns the kind in a word.
func (k Kind) String() string {
	switch k {
	case File:
		return "file"
	case Dir:
		return "directory"
	case Symlink:
		return "symlink"
	}
	return "unknown"
}

// An Entry is a file, directory or symbolic link of a tree.
type Entry struct {
	Path   string // below the root, with slashes; empty for the root
	Kind   Kind
	Exec   bool   // of a file
	Size   int64  // of a file
	Target string // of a symbolic link
	CID    cid.CID
}

// maxDepth bounds how deep a reader follows nodes.
const maxDepth = 1024

// Has says whether the store holds what c names: a file whose blob is there, a directory or link, or a leaf.
// What is below a directory came with it; a file there that was damaged since shows in Missing.
func (s *Store) Has(c cid.CID) (bool, error) {
	if err := s.enter(); err != nil {
		return false, fmt.Errorf("has %s: %w", c, err)
	}
	defer s.leave()
	ok, err := s.hasObject(c)
	if err != nil {
		return false, fmt.Errorf("has %s: %w", c, err)
	}
	return ok, nil
}

func (s *Store) hasObject(c cid.CID) (bool, error) {
	if c.IsZero() {
		return false, nil
	}
	if c.Codec() == cid.DagPB {
		n, err := s.node(c)
		if err == nil && n.Kind == cid.KindFile {
			_, err = s.blobSize(blobOfRoot(c, n))
		}
		return err == nil, unlessAbsent(err)
	}
	_, err := s.blobSize(c)
	if errors.Is(err, ErrNotFound) {
		var p leafPlace
		if p, err = s.leaf(c); err == nil {
			_, err = s.blobSize(p.blob)
		}
	}
	return err == nil, unlessAbsent(err)
}

func unlessAbsent(err error) error {
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrDamaged) {
		return nil
	}
	return err
}

// leaf returns the place of a leaf of a larger file.
func (s *Store) leaf(c cid.CID) (leafPlace, error) {
	v, err := s.get(digestKey(keyLeaf, c.Digest()))
	if err != nil {
		return leafPlace{}, err
	}
	return decodeLeafPlace(v)
}

// node returns a node that has been compared with its CID.
func (s *Store) node(c cid.CID) (*cid.Node, error) {
	b, err := s.nodeBytes(c)
	if err != nil {
		return nil, err
	}
	return cid.Decode(b)
}

func (s *Store) nodeBytes(c cid.CID) ([]byte, error) {
	if c.Codec() != cid.DagPB {
		return nil, fmt.Errorf("%s is a leaf, not a node", c)
	}
	b, err := s.get(digestKey(keyNode, c.Digest()))
	if err != nil {
		return nil, err
	}
	if cid.Sum(cid.DagPB, b) != c {
		return nil, fmt.Errorf("node %s: %w", c, ErrDamaged)
	}
	return b, nil
}

// OpenFile opens the file that c names for reading; the caller closes it.
// Its bytes have been compared with its hash since the store was opened, and again if they changed since.
// ErrNotFound, ErrDamaged.
func (s *Store) OpenFile(ctx context.Context, c cid.CID) (*os.File, error) {
	if err := s.enter(); err != nil {
		return nil, fmt.Errorf("open file %s: %w", c, err)
	}
	defer s.leave()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := s.openFile(c)
	if err != nil {
		return nil, fmt.Errorf("open file %s: %w", c, err)
	}
	return f, nil
}

func (s *Store) openFile(c cid.CID) (*os.File, error) {
	blob, size, err := s.blobOf(c)
	if err != nil {
		return nil, err
	}
	return s.openBlob(blob, size)
}

// BlobPath returns the path of the blob of the file that c names, compared with its hash as OpenFile does.
// The blob must not be changed; it has no execute bit. ErrNotFound, ErrDamaged.
func (s *Store) BlobPath(c cid.CID) (string, error) {
	if err := s.enter(); err != nil {
		return "", fmt.Errorf("blob of %s: %w", c, err)
	}
	defer s.leave()
	blob, size, err := s.blobOf(c)
	if err != nil {
		return "", fmt.Errorf("blob of %s: %w", c, err)
	}
	f, err := s.openBlob(blob, size)
	if err != nil {
		return "", fmt.Errorf("blob of %s: %w", c, err)
	}
	return s.blobPath(blob), f.Close()
}

// entry describes what a link points to. It does not look for the blob of a file.
func (s *Store) entry(path string, l cid.Link) (Entry, error) {
	e := Entry{Path: path, Kind: File, CID: l.CID, Size: l.Tsize}
	if l.CID.Codec() == cid.Raw {
		return e, nil
	}
	n, err := s.node(l.CID)
	if err != nil {
		return e, err
	}
	e.describe(n)
	return e, nil
}

func (e *Entry) describe(n *cid.Node) {
	e.Kind, e.Size = Dir, 0
	switch n.Kind {
	case cid.KindFile:
		e.Kind, e.Size, e.Exec = File, n.Size, n.Exec
	case cid.KindSymlink:
		e.Kind, e.Target = Symlink, n.Target
	}
}

// Entries yields the tree that root names: the root first, each directory before what it holds,
// names in the order of their bytes. An error ends it.
func (s *Store) Entries(ctx context.Context, root cid.CID) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := s.enter(); err != nil {
			yield(Entry{}, fmt.Errorf("entries of %s: %w", root, err))
			return
		}
		defer s.leave()
		link, err := s.rootLink(root)
		if err == nil {
			_, err = s.walk(ctx, "", link, 0, yield)
		}
		if err != nil {
			yield(Entry{}, fmt.Errorf("entries of %s: %w", root, err))
		}
	}
}

// rootLink is a link to root as a directory would have it.
func (s *Store) rootLink(root cid.CID) (cid.Link, error) {
	l := cid.Link{CID: root}
	if root.Codec() == cid.DagPB {
		return l, nil
	}
	_, size, err := s.blobOf(root)
	l.Tsize = size
	return l, err
}

// walk yields the entry of l and everything below it. It returns false when the caller has had enough.
func (s *Store) walk(ctx context.Context, path string, l cid.Link, depth int, yield func(Entry, error) bool) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if depth > maxDepth {
		return false, fmt.Errorf("%s: more than %d directories deep", path, maxDepth)
	}
	e := Entry{Path: path, Kind: File, CID: l.CID, Size: l.Tsize}
	if l.CID.Codec() == cid.Raw {
		return yield(e, nil), nil
	}
	n, err := s.node(l.CID)
	if err != nil {
		return false, fmt.Errorf("%q: %w", path, err)
	}
	e.describe(n)
	if !yield(e, nil) {
		return false, nil
	}
	if e.Kind != Dir {
		return true, nil
	}
	links, err := s.names(n, 0)
	if err != nil {
		return false, fmt.Errorf("directory %q: %w", path, err)
	}
	for _, child := range links {
		if more, err := s.walk(ctx, join(path, child.Name), child, depth+1, yield); !more || err != nil {
			return more, err
		}
	}
	return true, nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "/" + name
}

// names returns the links of a directory, also of one in shards, in the order of their names.
func (s *Store) names(n *cid.Node, depth int) ([]cid.Link, error) {
	if n.Kind == cid.KindDir {
		return n.Links, nil
	}
	var links []cid.Link
	if err := s.shardNames(n, depth, &links); err != nil {
		return nil, err
	}
	slices.SortFunc(links, func(a, b cid.Link) int { return strings.Compare(a.Name, b.Name) })
	return links, nil
}

func (s *Store) shardNames(n *cid.Node, depth int, links *[]cid.Link) error {
	if depth >= len(cid.ShardPath("")) {
		return errors.New("shards are too deep")
	}
	for _, l := range n.Links {
		if len(l.Name) > 2 {
			// A name in another place than its hash says would be listed and never found.
			if cid.ShardPath(l.Name[2:])[depth] != l.Name[:2] {
				return fmt.Errorf("name %q is in the wrong place", l.Name[2:])
			}
			l.Name = l.Name[2:]
			*links = append(*links, l)
			continue
		}
		child, err := s.node(l.CID)
		if err != nil {
			return err
		}
		if child.Kind != cid.KindShard {
			return fmt.Errorf("a %s where a shard is due", child.Kind)
		}
		if err := s.shardNames(child, depth+1, links); err != nil {
			return err
		}
	}
	return nil
}

// Lookup finds one entry of a tree. It follows no symbolic links: one on the way is ErrNotFound.
// The path has slashes, no "." or ".." in it, and is empty for the root.
func (s *Store) Lookup(ctx context.Context, root cid.CID, path string) (Entry, error) {
	if err := s.enter(); err != nil {
		return Entry{}, fmt.Errorf("lookup %s in %s: %w", path, root, err)
	}
	defer s.leave()
	e, err := s.lookup(ctx, root, path)
	if err != nil {
		return Entry{}, fmt.Errorf("lookup %q in %s: %w", path, root, err)
	}
	return e, nil
}

func (s *Store) lookup(ctx context.Context, root cid.CID, path string) (Entry, error) {
	link, err := s.rootLink(root)
	if err != nil {
		return Entry{}, err
	}
	if path == "" {
		return s.entry("", link)
	}
	for name := range strings.SplitSeq(path, "/") {
		if err := ctx.Err(); err != nil {
			return Entry{}, err
		}
		if err := cid.CheckName(name); err != nil {
			return Entry{}, err
		}
		if link.CID.Codec() == cid.Raw {
			return Entry{}, ErrNotFound
		}
		n, err := s.node(link.CID)
		if err != nil {
			return Entry{}, err
		}
		if link, err = s.child(n, name); err != nil {
			return Entry{}, err
		}
	}
	return s.entry(path, link)
}

// child finds a name in a directory.
func (s *Store) child(n *cid.Node, name string) (cid.Link, error) {
	if n.Kind == cid.KindDir {
		i, ok := slices.BinarySearchFunc(n.Links, name, func(l cid.Link, name string) int { return strings.Compare(l.Name, name) })
		if !ok {
			return cid.Link{}, ErrNotFound
		}
		return n.Links[i], nil
	}
	for _, prefix := range cid.ShardPath(name) {
		if n.Kind != cid.KindShard {
			return cid.Link{}, ErrNotFound
		}
		i := slices.IndexFunc(n.Links, func(l cid.Link) bool { return l.Name[:2] == prefix })
		if i < 0 {
			return cid.Link{}, ErrNotFound
		}
		l := n.Links[i]
		if len(l.Name) > 2 {
			if l.Name[2:] != name {
				return cid.Link{}, ErrNotFound
			}
			l.Name = name
			return l, nil
		}
		var err error
		if n, err = s.node(l.CID); err != nil {
			return cid.Link{}, err
		}
	}
	return cid.Link{}, ErrNotFound
}

// Missing returns the files below root that the store does not hold whole, as far as it knows: see Verify.
// A file that is there only as a leaf of a larger file is missing: it cannot be opened.
func (s *Store) Missing(ctx context.Context, root cid.CID) ([]Entry, error) {
	var missing []Entry
	for e, err := range s.Entries(ctx, root) {
		if err != nil {
			return nil, fmt.Errorf("missing of %s: %w", root, err)
		}
		if e.Kind != File {
			continue
		}
		ok, err := s.holdsFile(e.CID)
		if err != nil {
			return nil, fmt.Errorf("missing of %s: %w", root, err)
		}
		if !ok {
			missing = append(missing, e)
		}
	}
	return missing, nil
}

func (s *Store) holdsFile(c cid.CID) (bool, error) {
	if err := s.enter(); err != nil {
		return false, err
	}
	defer s.leave()
	_, _, err := s.blobOf(c)
	return err == nil, unlessAbsent(err)
}
