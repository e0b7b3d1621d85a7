package cas

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/MordragT/nuka/pir/cid"
)

// Block returns the bytes of any block: a node, or a leaf, which is a range of a blob; also of a tree that is being received,
// see Receiving. They have been compared with c. ErrNotFound, ErrDamaged.
func (s *Store) Block(ctx context.Context, c cid.CID) ([]byte, error) {
	return s.openBlock(ctx, c, nil, true)
}

// AppendBlock is Block into the room behind buf for somebody who compares the bytes with c himself, as a peer does.
// It returns buf with the block behind it, in a new place if there was no room. Block finds out what is wrong with a wrong one.
func (s *Store) AppendBlock(ctx context.Context, c cid.CID, buf []byte) ([]byte, error) {
	return s.openBlock(ctx, c, buf, false)
}

func (s *Store) openBlock(ctx context.Context, c cid.CID, buf []byte, compare bool) ([]byte, error) {
	if err := s.enter(); err != nil {
		return nil, fmt.Errorf("block %s: %w", c, err)
	}
	defer s.leave()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b, err := s.block(c, buf, compare)
	if err != nil {
		return nil, fmt.Errorf("block %s: %w", c, err)
	}
	return b, nil
}

func (s *Store) block(c cid.CID, buf []byte, compare bool) ([]byte, error) {
	live := s.live() // before the index is looked at: what is in neither afterwards was in none of them
	b, err := s.ownBlock(c, buf, compare)
	if err == nil || unlessAbsent(err) != nil || len(live) == 0 {
		return b, err
	}
	for _, r := range live {
		if b := r.block(c, buf, compare); b != nil {
			return b, nil
		}
	}
	return s.ownBlock(c, buf, compare) // of one that was finished meanwhile
}

// ownBlock is block for what is in the store.
func (s *Store) ownBlock(c cid.CID, buf []byte, compare bool) ([]byte, error) {
	if c.Codec() == cid.DagPB {
		b, err := s.nodeBytes(c)
		if err != nil || buf == nil {
			return b, err
		}
		return append(buf, b...), nil
	}
	size, err := s.blobSize(c)
	p := leafPlace{c, 0, size}
	if err != nil {
		if p, err = s.leaf(c); err != nil {
			return nil, err
		}
		if size, err = s.blobSize(p.blob); err != nil {
			return nil, err
		}
	}
	all, b := room(buf, p.size)
	in, err := openPlain(s.blobPath(p.blob))
	if err == nil {
		_, err = in.ReadAt(b, p.offset)
		in.Close() //nolint:errcheck // it was only read
	}
	if err == nil && (!compare || cid.Sum(cid.Raw, b) == c) {
		return all, nil
	}
	// Let the whole blob be looked at: that sets it aside, or finds that it has been healed.
	f, err := s.openBlob(p.blob, size)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	if _, err := f.ReadAt(b, p.offset); err != nil && err != io.EOF {
		return nil, err
	}
	if cid.Sum(cid.Raw, b) != c {
		return nil, fmt.Errorf("leaf of blob %s: %w", p.blob, ErrDamaged)
	}
	return all, nil
}

// room returns buf with n bytes more, and those.
func room(buf []byte, n int64) (all, b []byte) {
	begin := len(buf)
	all = slices.Grow(buf, int(n))[:begin+int(n)]
	return all, all[begin:]
}
