package cas

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A Problem is something in the store that is not as it should be.
type Problem struct {
	Object string // "blob …", "node …", "binding …"
	What   string
}

// String describes the problem in one line.
func (p Problem) String() string { return p.Object + ": " + p.What }

// Verify compares everything in the store with its hash and checks that the targets of all links are there.
// It calls report for each problem, one call at a time, and sets damaged blobs aside.
// If a record of the index contradicts the blobs or other records, the next Open rebuilds the index.
// The error says only why it could not finish.
func (s *Store) Verify(ctx context.Context, report func(Problem)) error {
	if err := s.calls.Enter(); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	defer s.calls.Leave()
	v := &verification{s: s, report: report}
	for _, part := range []func(context.Context) error{v.blobs, v.leaves, v.nodes, v.bindings, v.records, v.journal} {
		if err := part(ctx); err != nil {
			return fmt.Errorf("verify: %w", err)
		}
	}
	if v.wrong > 0 {
		err := fmt.Errorf("%d records are wrong", v.wrong)
		s.index.MarkDamaged(err)
		v.problem("index", "%v; reopen the store to rebuild it", err)
	}
	return nil
}

// errLost says that a record of the index is right and that the object it names is not in the store.
var errLost = errors.New("missing")

type verification struct {
	s     *Store
	wrong int // records that a rebuild makes right

	mu     sync.Mutex // held while report runs
	report func(Problem)
}

func (v *verification) problem(object, format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report(Problem{object, fmt.Sprintf(format, args...)})
}

// each scans a table and reports the errors that fn returns about its records.
func (v *verification) each(ctx context.Context, table index.Table, name string, fn func(k, value []byte) error) error {
	for r, err := range v.s.index.Scan(table.Key()) {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(r.Key[1:], r.Value); err != nil {
			if !errors.Is(err, errLost) {
				v.wrong++
			}
			v.problem(name+" "+index.KeyText(r.Key), "%v", err)
		}
	}
	return nil
}

// blobs reads every blob, also those that have been read since Open.
func (v *verification) blobs(ctx context.Context) error {
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(v.s.readers())
	err := v.each(running, index.Blobs, "blob", func(k, value []byte) error {
		blob, err := cid.FromBytes(k)
		if err != nil {
			return err
		}
		size, err := index.DecodeSize(value)
		if err != nil {
			return err
		}
		g.Go(func() error {
			err := v.s.blocks.Rehash(blob, size)
			if err == nil {
				return nil
			}
			if _, e := v.s.blocks.BlobSize(blob); errors.Is(e, ErrNotFound) {
				return nil // removed meanwhile
			}
			v.problem("blob "+blob.String(), "%v", err)
			if !errors.Is(err, ErrDamaged) {
				return err
			}
			return nil
		})
		return nil
	})
	return errors.Join(g.Wait(), err)
}

// leaves compares each leaf of a larger file with its hash.
func (v *verification) leaves(ctx context.Context) error {
	var (
		open *os.File
		blob cid.CID
		buf  = disk.GetBuffer()
	)
	defer buf.Free()
	defer func() {
		if open != nil {
			open.Close() //nolint:errcheck // it was only read
		}
	}()
	return v.each(ctx, index.Leaves, "leaf", func(k, value []byte) error {
		p, err := index.DecodePlace(value)
		if err != nil {
			return err
		}
		size, err := v.s.blocks.BlobSize(p.Blob)
		if errors.Is(err, ErrDamaged) {
			return nil // reported with the blob
		}
		if err != nil {
			return fmt.Errorf("its blob %s is not in the index", p.Blob)
		}
		if p.Offset+p.Size > size {
			return fmt.Errorf("it lies beyond the end of blob %s", p.Blob)
		}
		if open == nil || blob != p.Blob {
			if open != nil {
				open.Close() //nolint:errcheck // it was only read
			}
			if open, err = os.Open(v.s.dir.Blob(p.Blob)); err != nil {
				open = nil
				return fmt.Errorf("%w: %w", errLost, err)
			}
			blob = p.Blob
		}
		b := buf[:p.Size]
		if _, err := open.ReadAt(b, p.Offset); err != nil {
			return fmt.Errorf("%w: %w", errLost, err)
		}
		if cid.Sum(cid.Raw, b).Digest() != [32]byte(k) {
			return fmt.Errorf("blob %s has other bytes at %d", p.Blob, p.Offset)
		}
		return nil
	})
}

func (v *verification) nodes(ctx context.Context) error {
	return v.each(ctx, index.Nodes, "node", func(k, value []byte) error {
		c := cid.Sum(cid.DagPB, value)
		if c.Digest() != [32]byte(k) {
			return disk.ErrMismatch
		}
		n, err := cid.Decode(value)
		if err != nil {
			return err
		}
		if n.Kind == cid.KindFile {
			if err := v.file(c, n); err != nil {
				return err
			}
		}
		for _, l := range n.Links {
			ok, err := v.s.hasBlock(l.CID)
			if err != nil {
				return err
			}
			if !ok {
				return fmt.Errorf("%s, to which it links as %q, is %w", l.CID, l.Name, errLost)
			}
		}
		return nil
	})
}

// hasBlock says whether the block is there, or is part of a blob that was set aside and reported.
func (s *Store) hasBlock(c cid.CID) (bool, error) {
	if c.Codec() == cid.DagPB {
		return s.index.Has(index.NodeKey(c))
	}
	for _, k := range [][]byte{index.BlobKey(c), index.LeafKey(c), index.DamagedKey(c)} {
		if ok, err := s.index.Has(k); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// file looks for the blob of a file. A node without one may be a part of a larger file, unless it is executable.
func (v *verification) file(c cid.CID, n *cid.Node) error {
	blob := disk.BlobOf(c, n)
	size, err := v.s.blocks.BlobSize(blob)
	switch {
	case errors.Is(err, ErrDamaged): // reported with the blob
		return nil
	case errors.Is(err, ErrNotFound) && !n.Exec:
		return nil
	case errors.Is(err, ErrNotFound):
		return fmt.Errorf("its blob %s is %w", blob, errLost)
	case err != nil:
		return fmt.Errorf("its blob %s: %w", blob, err)
	case size != n.Size:
		return fmt.Errorf("it has %d bytes and its blob %s has %d", n.Size, blob, size)
	}
	return nil
}

func (v *verification) bindings(ctx context.Context) error {
	err := v.each(ctx, index.Bindings, "binding", func(k, value []byte) error {
		c, err := cid.FromBytes(value)
		if err != nil {
			return err
		}
		if ok, err := v.s.hasBlock(c); err != nil || !ok {
			return errors.Join(err, fmt.Errorf("%s is %w", c, errLost))
		}
		p := pir.PID(k)
		return v.s.index.Settled(func() error {
			if now, err := v.s.bound(p); errors.Is(err, ErrNotFound) || err == nil && now != c {
				return nil // bound to something else since it was scanned
			}
			if ok, err := v.s.index.Has(index.BinderKey(c, p)); err != nil || !ok {
				return errors.Join(err, fmt.Errorf("%s does not know it", c))
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	return v.each(ctx, index.Binders, "binder", func(k, _ []byte) error {
		if len(k) != cid.Size+32 {
			return index.ErrValue
		}
		return v.s.index.Settled(func() error {
			if ok, err := v.s.index.Has(index.Binders.Key(k)); err != nil || !ok {
				return err // unbound since it was scanned
			}
			c, err := v.s.bound(pir.PID(k[cid.Size:]))
			if err == nil && string(c.Bytes()) != string(k[:cid.Size]) {
				err = errors.New("the pid is bound to something else")
			}
			return err
		})
	})
}

// records checks the records that do not link to blocks, and roots.
func (v *verification) records(ctx context.Context) error {
	err := v.each(ctx, index.PIRs, "pir", func(k, value []byte) error {
		canonical, _, err := index.DecodePIR(value)
		if err == nil && pir.Sum(canonical) != pir.PID(k) {
			err = disk.ErrMismatch
		}
		return err
	})
	if err != nil {
		return err
	}
	err = v.each(ctx, index.Attestations, "attestation", func(k, value []byte) error {
		a, err := protocol.DecodeAttestation(value)
		if err == nil && string(index.AttestationKey(a)[1:]) != string(k) {
			err = errors.New("it is about another pid or by another signer")
		}
		return err
	})
	if err != nil {
		return err
	}
	return v.each(ctx, index.Roots, "root", func(k, value []byte) error {
		r, err := index.DecodeRoot(value)
		if err != nil {
			return err
		}
		if ok, err := v.s.hasBlock(r.CID); err != nil || !ok {
			return errors.Join(err, fmt.Errorf("%s is %w", r.CID, errLost))
		}
		return nil
	})
}

// journal reads the journal. If it is damaged, the next Open writes it anew from the index.
func (v *verification) journal(context.Context) error {
	what, err := v.s.index.VerifyJournal()
	if what != "" {
		v.problem("journal", "%s; reopen the store to write it anew", what)
	}
	return err
}
