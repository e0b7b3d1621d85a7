package cas

import (
	"context"
	"fmt"
	"iter"
	"os"
	"strings"

	"github.com/MordragT/nuka/cas/disk"
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

// Has says whether the store holds the object that c names: a file whose blob is there, a directory or link, or a leaf.
// A directory was stored with everything below it; Missing lists files that were damaged since.
func (s *Store) Has(c cid.CID) (bool, error) {
	if err := s.calls.Enter(); err != nil {
		return false, fmt.Errorf("has %s: %w", c, err)
	}
	defer s.calls.Leave()
	ok, err := s.blocks.Has(c)
	if err != nil {
		return false, fmt.Errorf("has %s: %w", c, err)
	}
	return ok, nil
}

// OpenFile opens the file that c names for reading; the caller closes it.
// Its bytes have been compared with its hash since the store was opened, and again if they changed since.
// ErrNotFound, ErrDamaged.
func (s *Store) OpenFile(ctx context.Context, c cid.CID) (*os.File, error) {
	if err := s.calls.Enter(); err != nil {
		return nil, fmt.Errorf("open file %s: %w", c, err)
	}
	defer s.calls.Leave()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := s.blocks.OpenFile(c)
	if err != nil {
		return nil, fmt.Errorf("open file %s: %w", c, err)
	}
	return f, nil
}

// BlobPath returns the path of the blob of the file that c names, compared with its hash as OpenFile does.
// The blob must not be changed; it has no execute bit. ErrNotFound, ErrDamaged.
func (s *Store) BlobPath(c cid.CID) (string, error) {
	if err := s.calls.Enter(); err != nil {
		return "", fmt.Errorf("blob of %s: %w", c, err)
	}
	defer s.calls.Leave()
	blob, size, err := s.blocks.BlobOf(c)
	if err != nil {
		return "", fmt.Errorf("blob of %s: %w", c, err)
	}
	f, err := s.blocks.OpenBlob(blob, size)
	if err != nil {
		return "", fmt.Errorf("blob of %s: %w", c, err)
	}
	return s.dir.Blob(blob), f.Close()
}

// Entries yields the tree that root names: the root first, each directory before its entries,
// names in the order of their bytes. An error ends it.
func (s *Store) Entries(ctx context.Context, root cid.CID) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := s.calls.Enter(); err != nil {
			yield(Entry{}, fmt.Errorf("entries of %s: %w", root, err))
			return
		}
		defer s.calls.Leave()
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
	_, size, err := s.blocks.BlobOf(root)
	l.Tsize = size
	return l, err
}

// walk yields the entry of l and everything below it. It returns false if the caller needs no more.
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
	n, err := s.blocks.Node(l.CID)
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

// Lookup finds one entry of a tree. It follows no symbolic links: one on the way is ErrNotFound.
// The path has slashes, no "." or ".." in it, and is empty for the root.
func (s *Store) Lookup(ctx context.Context, root cid.CID, path string) (Entry, error) {
	if err := s.calls.Enter(); err != nil {
		return Entry{}, fmt.Errorf("lookup %s in %s: %w", path, root, err)
	}
	defer s.calls.Leave()
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
		n, err := s.blocks.Node(link.CID)
		if err != nil {
			return Entry{}, err
		}
		if link, err = s.child(n, name); err != nil {
			return Entry{}, err
		}
	}
	return s.entry(path, link)
}

// Missing returns the files below root that the store does not hold whole, as far as it knows: see Verify.
// A file that the store holds only as a leaf of a larger file is missing: it cannot be opened.
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
	if err := s.calls.Enter(); err != nil {
		return false, err
	}
	defer s.calls.Leave()
	_, _, err := s.blocks.BlobOf(c)
	return err == nil, disk.UnlessAbsent(err)
}
