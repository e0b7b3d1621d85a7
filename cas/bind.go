package cas

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// maxPIR bounds a PIR and its origins together.
const maxPIR = 32 << 20

// PutPIR stores a PIR under its PID, with the origins that travel beside it; nil origins keep those there are.
// It survives a power cut once a later Import, Bind or PutRoot has returned.
func (s *Store) PutPIR(ctx context.Context, p pir.PID, canonical, origins []byte) error {
	if err := s.calls.Enter(); err != nil {
		return fmt.Errorf("put pir %s: %w", p, err)
	}
	defer s.calls.Leave()
	if err := s.putPIR(ctx, p, canonical, origins); err != nil {
		return fmt.Errorf("put pir %s: %w", p, err)
	}
	return nil
}

func (s *Store) putPIR(ctx context.Context, p pir.PID, canonical, origins []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if pir.Sum(canonical) != p {
		return errors.New("the bytes have another pid")
	}
	if len(canonical)+len(origins) > maxPIR {
		return fmt.Errorf("it has more than %d bytes", maxPIR)
	}
	l := s.Lease("a description")
	defer l.Release()
	l.KeepPIDs(p)
	return s.index.Update(index.Soon, func(c *index.Changes) error {
		k := index.PIRKey(p)
		old, err := s.index.Get(k)
		if err == nil && origins == nil {
			return nil
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		v := index.EncodePIR(canonical, origins)
		if bytes.Equal(old, v) {
			return nil
		}
		c.Set(k, v)
		return s.dir.CheckSpace()
	})
}

// PIR returns the canonical bytes of a PIR and its origins. ErrNotFound.
func (s *Store) PIR(p pir.PID) (canonical, origins []byte, err error) {
	if err := s.calls.Enter(); err != nil {
		return nil, nil, fmt.Errorf("pir %s: %w", p, err)
	}
	defer s.calls.Leave()
	v, err := s.index.Get(index.PIRKey(p))
	if err == nil {
		canonical, origins, err = index.DecodePIR(v)
		if err == nil && pir.Sum(canonical) != p {
			err = ErrDamaged
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("pir %s: %w", p, err)
	}
	if len(origins) == 0 {
		origins = nil
	}
	return canonical, origins, nil
}

// Bind records that a PID was realized to a CID that the store holds, by an attestation whose signature is right.
// Method CID returns the CID of the last Bind; the attestations of other signers stay.
// It is on disk when Bind returns.
func (s *Store) Bind(ctx context.Context, a protocol.Attestation) error {
	if err := s.calls.Enter(); err != nil {
		return fmt.Errorf("bind %s: %w", a.PID, err)
	}
	defer s.calls.Leave()
	if err := s.bind(ctx, a); err != nil {
		return fmt.Errorf("bind %s: %w", a.PID, err)
	}
	return nil
}

func (s *Store) bind(ctx context.Context, a protocol.Attestation) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer s.keepStated(a).Release()
	held, err := s.blocks.Has(a.CID)
	if err != nil {
		return err
	}
	if !held {
		return fmt.Errorf("%s: %w", a.CID, ErrNotFound)
	}
	return s.index.Update(index.Durable, func(c *index.Changes) error {
		if err := s.attest(c, a); err != nil {
			return err
		}
		old, err := s.bound(a.PID)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if !old.IsZero() && old != a.CID {
			c.Delete(index.BinderKey(old, a.PID))
		}
		c.Set(index.BindingKey(a.PID), a.CID.Bytes())
		c.Set(index.BinderKey(a.CID, a.PID), nil)
		return nil
	})
}

// keepStated keeps what attestations are about while they are stored: a collection that runs then knows of it.
func (s *Store) keepStated(list ...protocol.Attestation) *Lease {
	l := s.Lease("a binding")
	for _, a := range list {
		l.Keep(a.CID)
		l.KeepPIDs(append(slices.Clone(a.Refs), a.PID)...)
	}
	return l
}

// PutAttestations stores attestations without binding: of content that the store may not hold. All of them or none.
// A signer that has named several contents for one PID contradicts itself; the last few are kept as evidence.
// They are on disk when PutAttestations returns.
func (s *Store) PutAttestations(ctx context.Context, list ...protocol.Attestation) error {
	if err := s.calls.Enter(); err != nil {
		return fmt.Errorf("put attestations: %w", err)
	}
	defer s.calls.Leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	defer s.keepStated(list...).Release()
	err := s.index.Update(index.Durable, func(c *index.Changes) error {
		for _, a := range list {
			if err := s.attest(c, a); err != nil {
				return fmt.Errorf("of %s: %w", a.PID, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("put attestations: %w", err)
	}
	return nil
}

// attest adds an attestation to the changes of an update.
func (s *Store) attest(c *index.Changes, a protocol.Attestation) error {
	if err := a.Verify(); err != nil {
		return err
	}
	v, err := a.Encode()
	if err != nil {
		return err
	}
	if err := s.dir.CheckSpace(); err != nil {
		return err
	}
	var others []protocol.Attestation
	for r, err := range c.Scan(index.Attestations.Key(a.PID[:], a.Signer[:])) {
		if err != nil {
			return err
		}
		old, err := protocol.DecodeVerifiedAttestation(r.Value)
		switch {
		case err != nil:
			return err
		case old.CID != a.CID:
			others = append(others, *old)
		case old.Issued.After(a.Issued):
			return nil // an older claim than the one that is kept
		}
	}
	c.Set(index.AttestationKey(&a), v)
	if len(others) > maxContradictions {
		oldest := slices.MinFunc(others, func(a, b protocol.Attestation) int {
			return cmp.Or(a.Issued.Compare(b.Issued), bytes.Compare(a.CID.Bytes(), b.CID.Bytes()))
		})
		c.Delete(index.AttestationKey(&oldest))
	}
	return nil
}

// maxContradictions bounds how many other CIDs of one PID are kept of one signer, beside its newest claim.
const maxContradictions = 3

// Unbind deletes the binding of a PID to a CID. Its PIR and attestations stay. ErrNotFound.
func (s *Store) Unbind(ctx context.Context, p pir.PID) error {
	if err := s.calls.Enter(); err != nil {
		return fmt.Errorf("unbind %s: %w", p, err)
	}
	defer s.calls.Leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.index.Update(index.Durable, func(c *index.Changes) error {
		old, err := s.bound(p)
		if err != nil {
			return err
		}
		c.Delete(index.BindingKey(p))
		c.Delete(index.BinderKey(old, p))
		return nil
	})
	if err != nil {
		return fmt.Errorf("unbind %s: %w", p, err)
	}
	return nil
}

// CID returns the CID that a PID is bound to. ErrNotFound.
func (s *Store) CID(p pir.PID) (cid.CID, error) {
	if err := s.calls.Enter(); err != nil {
		return cid.CID{}, fmt.Errorf("cid of %s: %w", p, err)
	}
	defer s.calls.Leave()
	c, err := s.bound(p)
	if err != nil {
		return cid.CID{}, fmt.Errorf("cid of %s: %w", p, err)
	}
	return c, nil
}

func (s *Store) bound(p pir.PID) (cid.CID, error) {
	v, err := s.index.Get(index.BindingKey(p))
	if err != nil {
		return cid.CID{}, err
	}
	return cid.FromBytes(v)
}

// PIDs yields the PIDs that are bound to c.
func (s *Store) PIDs(c cid.CID) iter.Seq2[pir.PID, error] {
	return func(yield func(pir.PID, error) bool) {
		prefix := index.Binders.Key(c.Bytes())
		for r, err := range s.scan(prefix) {
			if err != nil {
				yield(pir.PID{}, fmt.Errorf("pids of %s: %w", c, err))
				return
			}
			if len(r.Key) != len(prefix)+len(pir.PID{}) {
				continue
			}
			if !yield(pir.PID(r.Key[len(prefix):]), nil) {
				return
			}
		}
	}
}

// A Binding is one PID and the CID that it is bound to.
type Binding struct {
	PID pir.PID
	CID cid.CID
}

// Bindings yields every binding, in the order of the PIDs.
func (s *Store) Bindings() iter.Seq2[Binding, error] {
	return func(yield func(Binding, error) bool) {
		for r, err := range s.scan(index.Bindings.Key()) {
			var b Binding
			if err == nil {
				b.PID = pir.PID(r.Key[1:])
				b.CID, err = cid.FromBytes(r.Value)
			}
			if err != nil {
				yield(Binding{}, fmt.Errorf("bindings: %w", err))
				return
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}

// Attestations yields the claims of each signer about a PID: the newest one for each CID that it has claimed.
// The signatures have been verified.
func (s *Store) Attestations(p pir.PID) iter.Seq2[protocol.Attestation, error] {
	return func(yield func(protocol.Attestation, error) bool) {
		for r, err := range s.scan(index.Attestations.Key(p[:])) {
			var a *protocol.Attestation
			if err == nil {
				a, err = protocol.DecodeVerifiedAttestation(r.Value)
			}
			if err != nil {
				yield(protocol.Attestation{}, fmt.Errorf("attestations of %s: %w", p, err))
				return
			}
			if !yield(*a, nil) {
				return
			}
		}
	}
}

// scan is Index.Scan as a call of the store.
func (s *Store) scan(prefix []byte) iter.Seq2[index.Row, error] {
	return func(yield func(index.Row, error) bool) {
		if err := s.calls.Enter(); err != nil {
			yield(index.Row{}, err)
			return
		}
		defer s.calls.Leave()
		s.index.Scan(prefix)(yield)
	}
}
