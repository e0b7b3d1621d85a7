// Package block reads blocks and blobs, compared with their hashes.
//
// A CID names a block: a leaf is a range of a blob, a node is a record of the index.
// A blob is a file of package disk. A damaged blob is set aside: its file moves to the quarantine and the index records that.
package block

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/pir/cid"
)

// Has says whether the store holds the object that c names: a file whose blob is there, a directory or link, or a leaf.
func (s *Store) Has(c cid.CID) (bool, error) {
	if c.IsZero() {
		return false, nil
	}
	if c.Codec() == cid.DagPB {
		n, err := s.Node(c)
		if err == nil && n.Kind == cid.KindFile {
			_, err = s.BlobSize(disk.BlobOf(c, n))
		}
		return err == nil, disk.UnlessAbsent(err)
	}
	_, err := s.BlobSize(c)
	if errors.Is(err, disk.ErrNotFound) {
		_, _, err = s.place(c)
	}
	return err == nil, disk.UnlessAbsent(err)
}

// place returns the range of a blob that a leaf is, and the size of the blob. ErrNotFound, ErrDamaged.
func (s *Store) place(leaf cid.CID) (index.Place, int64, error) {
	size, err := s.BlobSize(leaf)
	if err == nil {
		return index.Place{Blob: leaf, Size: size}, size, nil
	}
	v, e := s.index.Get(index.LeafKey(leaf))
	if e != nil {
		if disk.UnlessAbsent(e) == nil { // the blob of that name may be damaged, which says more
			e = err
		}
		return index.Place{}, 0, e
	}
	p, err := index.DecodePlace(v)
	if err != nil {
		return p, 0, err
	}
	size, err = s.BlobSize(p.Blob)
	return p, size, err
}

// Node returns a node, compared with its CID. ErrNotFound, ErrDamaged.
func (s *Store) Node(c cid.CID) (*cid.Node, error) {
	b, err := s.NodeBytes(c)
	if err != nil {
		return nil, err
	}
	return cid.Decode(b)
}

// NodeBytes returns the encoding of a node, compared with its CID. ErrNotFound, ErrDamaged.
func (s *Store) NodeBytes(c cid.CID) ([]byte, error) {
	if c.Codec() != cid.DagPB {
		return nil, fmt.Errorf("%s is a leaf, not a node", c)
	}
	b, err := s.index.Get(index.NodeKey(c))
	if err != nil {
		return nil, err
	}
	if cid.Sum(cid.DagPB, b) != c {
		return nil, fmt.Errorf("node %s: %w", c, disk.ErrDamaged)
	}
	return b, nil
}

// Len returns the length of the block that c names. It does not look at the bytes. ErrNotFound, ErrDamaged.
func (s *Store) Len(c cid.CID) (int64, error) {
	if c.Codec() == cid.DagPB {
		return s.index.Len(index.NodeKey(c))
	}
	p, _, err := s.place(c)
	return p.Size, err
}

// Append appends the bytes of the block that c names to buf. If compare is set, they have been compared with c;
// otherwise the caller compares them. The result is in a new place if buf has no room. ErrNotFound, ErrDamaged.
func (s *Store) Append(buf []byte, c cid.CID, compare bool) ([]byte, error) {
	if c.Codec() == cid.DagPB {
		b, err := s.NodeBytes(c)
		if err != nil || buf == nil {
			return b, err
		}
		return append(buf, b...), nil
	}
	p, size, err := s.place(c)
	if err != nil {
		return nil, err
	}
	all, b := Room(buf, p.Size)
	in, err := disk.OpenPlain(s.dir.Blob(p.Blob))
	if err == nil {
		_, err = in.ReadAt(b, p.Offset)
		in.Close() //nolint:errcheck // it was only read
	}
	if err == nil && (!compare || cid.Sum(cid.Raw, b) == c) {
		return all, nil
	}
	// Compare the whole blob: that sets it aside, or finds that it has been healed.
	f, err := s.OpenBlob(p.Blob, size)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	if _, err := f.ReadAt(b, p.Offset); err != nil && err != io.EOF {
		return nil, err
	}
	if cid.Sum(cid.Raw, b) != c {
		return nil, fmt.Errorf("leaf of blob %s: %w", p.Blob, disk.ErrDamaged)
	}
	return all, nil
}

// Room returns buf with n more bytes, and those bytes.
func Room(buf []byte, n int64) (all, b []byte) {
	begin := len(buf)
	all = slices.Grow(buf, int(n))[:begin+int(n)]
	return all, all[begin:]
}
