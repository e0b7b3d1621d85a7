package cas

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

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

// Verify compares everything in the store with its hash and looks whether what links to what is there.
// It calls report for each problem, one call at a time, and sets damaged blobs aside.
// The error says only why it could not finish.
func (s *Store) Verify(ctx context.Context, report func(Problem)) error {
	if err := s.enter(); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	defer s.leave()
	v := &verification{s: s, report: report}
	for _, part := range []func(context.Context) error{v.blobs, v.leaves, v.nodes, v.bindings, v.records, v.journal} {
		if err := part(ctx); err != nil {
			return fmt.Errorf("verify: %w", err)
		}
	}
	return nil
}

type verification struct {
	s      *Store
	mu     sync.Mutex
	report func(Problem)
}

func (v *verification) problem(object, format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report(Problem{object, fmt.Sprintf(format, args...)})
}

// each scans a table and reports what fn returns about a record.
func (v *verification) each(ctx context.Context, table byte, name string, fn func(k, value []byte) error) error {
	for k, val := range v.s.scan([]byte{table}) {
		if val.err != nil {
			return val.err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(k[1:], val.value); err != nil {
			v.problem(fmt.Sprintf("%s %s", name, base32Lower.EncodeToString(k[1:min(len(k), 33)])), "%v", err)
		}
	}
	return nil
}

// blobs reads every blob, also those that have been read since Open.
func (v *verification) blobs(ctx context.Context) error {
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(max(v.s.o.Workers, defaultWorkers()))
	err := v.each(running, keyBlob, "blob", func(k, value []byte) error {
		blob, err := cid.FromBytes(k)
		if err != nil {
			return err
		}
		size, err := decodeSize(value)
		if err != nil {
			return err
		}
		g.Go(func() error {
			err := v.s.rehash(blob, size)
			if err == nil {
				return nil
			}
			if _, e := v.s.blobSize(blob); errors.Is(e, ErrNotFound) {
				return nil // collected meanwhile
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

// rehash compares a blob with its hash, whether or not that was done before.
func (s *Store) rehash(blob cid.CID, size int64) error {
	s.verifyMu.Lock()
	delete(s.verified, blob)
	s.verifyMu.Unlock()
	f, err := s.openBlob(blob, size)
	if err != nil {
		return err
	}
	return f.Close()
}

func (v *verification) leaves(ctx context.Context) error {
	var (
		open *os.File
		blob cid.CID
		buf  = buffers.Get().(*buffer)
	)
	defer buffers.Put(buf)
	defer func() {
		if open != nil {
			open.Close() //nolint:errcheck // it was only read
		}
	}()
	return v.each(ctx, keyLeaf, "leaf", func(k, value []byte) error {
		p, err := decodeLeafPlace(value)
		if err != nil {
			return err
		}
		size, err := v.s.blobSize(p.blob)
		if errors.Is(err, ErrDamaged) {
			return nil // reported with the blob
		}
		if err != nil {
			return fmt.Errorf("its blob %s is not in the index", p.blob)
		}
		if p.offset+p.size > size {
			return fmt.Errorf("it lies beyond the end of blob %s", p.blob)
		}
		if open == nil || blob != p.blob {
			if open != nil {
				open.Close() //nolint:errcheck // it was only read
			}
			if open, err = os.Open(v.s.blobPath(p.blob)); err != nil {
				open = nil
				return err
			}
			blob = p.blob
		}
		b := buf[:p.size]
		if _, err := open.ReadAt(b, p.offset); err != nil {
			return err
		}
		if cid.Sum(cid.Raw, b).Digest() != [32]byte(k) {
			return fmt.Errorf("blob %s has other bytes at %d", p.blob, p.offset)
		}
		return nil
	})
}

func (v *verification) nodes(ctx context.Context) error {
	return v.each(ctx, keyNode, "node", func(k, value []byte) error {
		c := cid.Sum(cid.DagPB, value)
		if c.Digest() != [32]byte(k) {
			return errMismatch
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
				return fmt.Errorf("%s, to which it links as %q, is missing", l.CID, l.Name)
			}
		}
		return nil
	})
}

// hasBlock says whether the block is there, or is part of a blob that was set aside and reported.
func (s *Store) hasBlock(c cid.CID) (bool, error) {
	if c.Codec() == cid.DagPB {
		return s.has(digestKey(keyNode, c.Digest()))
	}
	for _, k := range [][]byte{blobKey(keyBlob, c), digestKey(keyLeaf, c.Digest()), blobKey(keyDamaged, c)} {
		if ok, err := s.has(k); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// file looks for the blob of a file. A node without one may be a part of a larger file, unless it is executable.
func (v *verification) file(c cid.CID, n *cid.Node) error {
	blob := blobOfRoot(c, n)
	size, err := v.s.blobSize(blob)
	switch {
	case errors.Is(err, ErrDamaged): // reported with the blob
		return nil
	case errors.Is(err, ErrNotFound) && !n.Exec:
		return nil
	case err != nil:
		return fmt.Errorf("its blob %s: %w", blob, err)
	case size != n.Size:
		return fmt.Errorf("it has %d bytes and its blob %s has %d", n.Size, blob, size)
	}
	return nil
}

func (v *verification) bindings(ctx context.Context) error {
	err := v.each(ctx, keyBound, "binding", func(k, value []byte) error {
		c, err := cid.FromBytes(value)
		if err != nil {
			return err
		}
		if ok, err := v.s.hasBlock(c); err != nil || !ok {
			return errors.Join(err, fmt.Errorf("%s is missing", c))
		}
		p := pir.PID(k)
		return v.settled(func() error {
			if now, err := v.s.bound(p); errors.Is(err, ErrNotFound) || err == nil && now != c {
				return nil // bound to something else since it was scanned
			}
			if ok, err := v.s.has(binderKey(c, p)); err != nil || !ok {
				return errors.Join(err, fmt.Errorf("%s does not know it", c))
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	return v.each(ctx, keyBinder, "binder", func(k, _ []byte) error {
		if len(k) != cid.Size+32 {
			return errValue
		}
		return v.settled(func() error {
			if ok, err := v.s.has(key(keyBinder, k)); err != nil || !ok {
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

// settled calls fn while no record changes that update writes.
func (v *verification) settled(fn func() error) error {
	v.s.updateMu.Lock()
	defer v.s.updateMu.Unlock()
	return fn()
}

func (v *verification) records(ctx context.Context) error {
	err := v.each(ctx, keyPIR, "pir", func(k, value []byte) error {
		canonical, _, err := decodePIR(value)
		if err == nil && pir.Sum(canonical) != pir.PID(k) {
			err = errMismatch
		}
		return err
	})
	if err != nil {
		return err
	}
	err = v.each(ctx, keyAtt, "attestation", func(k, value []byte) error {
		a, err := protocol.DecodeAttestation(value)
		if err == nil && string(attKey(a)[1:]) != string(k) {
			err = errors.New("it is about another pid or by another signer")
		}
		return err
	})
	if err != nil {
		return err
	}
	return v.each(ctx, keyRoot, "root", func(k, value []byte) error {
		r, err := decodeRoot(string(k), value)
		if err != nil {
			return err
		}
		if ok, err := v.s.hasBlock(r.CID); err != nil || !ok {
			return errors.Join(err, fmt.Errorf("%s is missing", r.CID))
		}
		return nil
	})
}

// journal reads the journal as a rebuild would. A damaged one is set aside: the next Open writes it anew from the index.
func (v *verification) journal(context.Context) error {
	v.s.commitMu.Lock() // a renewal would remove the file
	end := v.s.journal.end
	name := journalName(v.s.journal.number)
	path := v.s.path(metaDir, name)
	f, err := os.Open(path)
	v.s.commitMu.Unlock()
	if errors.Is(err, fs.ErrNotExist) {
		v.problem("journal", "%s is missing; reopen the store to write it anew", path)
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	good, err := readJournal(f, int64(len(journalMagic)), end, checkRecord)
	if err == nil && good == end {
		return nil
	}
	v.problem("journal", "%s is damaged at byte %d of %d; reopen the store to write it anew", path, good, end)
	return os.Rename(path, v.s.path(quarantineDir, fmt.Sprintf("%s-%d", name, time.Now().UnixNano())))
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
	if err := s.enter(); err != nil {
		return Stats{}, fmt.Errorf("stats: %w", err)
	}
	defer s.leave()
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
		table byte
		n     *int
		each  func(k, v []byte) error
	}{
		{keyBlob, &st.Files, func(_, v []byte) error {
			size, err := decodeSize(v)
			st.Bytes += size
			if size <= cid.LeafSize {
				st.Blocks++
			}
			return err
		}},
		{keyDamaged, &st.Damaged, nil},
		{keyLeaf, &leaves, nil},
		{keyNode, &st.Nodes, nil},
		{keyPIR, &st.PIRs, nil},
		{keyAtt, &st.Attestations, nil},
		{keyBound, &st.Bindings, func(_, v []byte) error {
			c, err := cid.FromBytes(v)
			trees[c] = true
			return err
		}},
		{keyRoot, &st.Roots, func(k, v []byte) error {
			r, err := decodeRoot(string(k[1:]), v)
			trees[r.CID] = true
			return err
		}},
	} {
		for k, v := range s.scan([]byte{c.table}) {
			if err := errors.Join(v.err, ctx.Err()); err != nil {
				return st, err
			}
			*c.n++
			if c.each != nil {
				if err := c.each(k, v.value); err != nil {
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
