package cas

import (
	"context"
	"errors"
	"fmt"

	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/pir/cid"
)

// Free returns how many bytes are free on the disk of the store, and false if the system does not tell.
func (s *Store) Free() (int64, bool) { return s.dir.Free() }

// countBlobs adds up the sizes of the blobs for the quota, if there is one.
func (s *Store) countBlobs() error {
	if !s.dir.HasQuota() {
		return nil
	}
	return s.dir.Count(func() (sum int64, err error) {
		for row, err := range s.index.Scan(index.Blobs.Key()) {
			if err != nil {
				return 0, err
			}
			size, err := index.DecodeSize(row.Value)
			if err != nil {
				return 0, err
			}
			sum += size
		}
		return sum, nil
	})
}

// Stats says how much the store holds.
type Stats struct {
	Files        int   // blobs
	Bytes        int64 // of the blobs, each counted once
	Logical      int64 // of all bound and rooted trees, as if nothing were shared
	Damaged      int   // blobs that were set aside
	Blocks       int   // leaves and nodes
	Nodes        int
	PIRs         int
	Attestations int
	Bindings     int
	Roots        int
}

// Stats counts what the store holds.
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	if err := s.calls.Enter(); err != nil {
		return Stats{}, fmt.Errorf("stats: %w", err)
	}
	defer s.calls.Leave()
	st, err := s.stats(ctx)
	if err != nil {
		return Stats{}, fmt.Errorf("stats: %w", err)
	}
	return st, nil
}

func (s *Store) stats(ctx context.Context) (st Stats, err error) {
	leaves := 0
	trees := map[cid.CID]bool{}
	for _, c := range []struct {
		table index.Table
		n     *int
		each  func(v []byte) error
	}{
		{index.Blobs, &st.Files, func(v []byte) error {
			size, err := index.DecodeSize(v)
			st.Bytes += size
			if size <= cid.LeafSize {
				st.Blocks++
			}
			return err
		}},
		{index.Damaged, &st.Damaged, nil},
		{index.Leaves, &leaves, nil},
		{index.Nodes, &st.Nodes, nil},
		{index.PIRs, &st.PIRs, nil},
		{index.Attestations, &st.Attestations, nil},
		{index.Bindings, &st.Bindings, func(v []byte) error {
			c, err := cid.FromBytes(v)
			trees[c] = true
			return err
		}},
		{index.Roots, &st.Roots, func(v []byte) error {
			r, err := index.DecodeRoot(v)
			trees[r.CID] = true
			return err
		}},
	} {
		for r, err := range s.index.Scan(c.table.Key()) {
			if err := errors.Join(err, ctx.Err()); err != nil {
				return st, err
			}
			*c.n++
			if c.each != nil {
				if err := c.each(r.Value); err != nil {
					return st, err
				}
			}
		}
	}
	st.Blocks += leaves + st.Nodes
	for root := range trees {
		for e, err := range s.Entries(ctx, root) {
			if err != nil {
				return st, err
			}
			st.Logical += e.Size
		}
	}
	return st, nil
}
