package cas

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

// maxPIR bounds a PIR and its origins together.
const maxPIR = 32 << 20

// PutPIR stores a PIR under its PID, with the origins that travel beside it; nil origins keep those there are.
// It survives a power cut once a later Import, Bind or PutRoot has returned.
func (s *Store) PutPIR(ctx context.Context, p pir.PID, canonical, origins []byte) error {
	if err := s.enter(); err != nil {
		return fmt.Errorf("put pir %s: %w", p, err)
	}
	defer s.leave()
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
	return s.update(soon, func(c *changes) error {
		k := key(keyPIR, p[:])
		old, err := s.get(k)
		if err == nil && origins == nil {
			return nil
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		v := encodePIR(canonical, origins)
		if bytes.Equal(old, v) {
			return nil
		}
		c.set(k, v)
		return s.checkSpace()
	})
}

// PIR returns the canonical bytes of a PIR and its origins. ErrNotFound.
func (s *Store) PIR(p pir.PID) (canonical, origins []byte, err error) {
	if err := s.enter(); err != nil {
		return nil, nil, fmt.Errorf("pir %s: %w", p, err)
	}
	defer s.leave()
	v, err := s.get(key(keyPIR, p[:]))
	if err == nil {
		canonical, origins, err = decodePIR(v)
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
// The last one bound decides what CID returns; the attestations of other signers stay.
// It is on disk when Bind returns.
func (s *Store) Bind(ctx context.Context, a protocol.Attestation) error {
	if err := s.enter(); err != nil {
		return fmt.Errorf("bind %s: %w", a.PID, err)
	}
	defer s.leave()
	if err := s.bind(ctx, a); err != nil {
		return fmt.Errorf("bind %s: %w", a.PID, err)
	}
	return nil
}

func (s *Store) bind(ctx context.Context, a protocol.Attestation) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	held, err := s.hasObject(a.CID)
	if err != nil {
		return err
	}
	if !held {
		return fmt.Errorf("%s: %w", a.CID, ErrNotFound)
	}
	return s.update(durable, func(c *changes) error {
		if err := s.attest(c, a); err != nil {
			return err
		}
		old, err := s.bound(a.PID)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if !old.IsZero() && old != a.CID {
			c.del(binderKey(old, a.PID))
		}
		c.set(boundKey(a.PID), a.CID.Bytes())
		c.set(binderKey(a.CID, a.PID), nil)
		return nil
	})
}

// PutAttestations stores attestations without binding: of content that the store may not hold. All of them or none.
// A signer that has named several contents for one PID contradicts itself; the last few are kept as evidence.
// They are on disk when PutAttestations returns.
func (s *Store) PutAttestations(ctx context.Context, list ...protocol.Attestation) error {
	if err := s.enter(); err != nil {
		return fmt.Errorf("put attestations: %w", err)
	}
	defer s.leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.update(durable, func(c *changes) error {
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
func (s *Store) attest(c *changes, a protocol.Attestation) error {
	if err := a.Verify(); err != nil {
		return err
	}
	v, err := a.Encode()
	if err != nil {
		return err
	}
	if err := s.checkSpace(); err != nil {
		return err
	}
	var others []protocol.Attestation
	for _, v := range s.scanOf(c.b, key(keyAtt, a.PID[:], a.Signer[:])) {
		if v.err != nil {
			return v.err
		}
		old, err := protocol.DecodeVerifiedAttestation(v.value)
		switch {
		case err != nil:
			return err
		case old.CID != a.CID:
			others = append(others, *old)
		case old.Issued.After(a.Issued):
			return nil // an older word is brought again
		}
	}
	c.set(attKey(&a), v)
	if len(others) > maxContradictions {
		oldest := slices.MinFunc(others, func(a, b protocol.Attestation) int {
			return cmp.Or(a.Issued.Compare(b.Issued), bytes.Compare(a.CID.Bytes(), b.CID.Bytes()))
		})
		c.del(attKey(&oldest))
	}
	return nil
}

// maxContradictions bounds what one signer can claim about one PID beside its newest word.
const maxContradictions = 3

// Unbind forgets which CID a PID was realized to. Its PIR and attestations stay. ErrNotFound.
func (s *Store) Unbind(ctx context.Context, p pir.PID) error {
	if err := s.enter(); err != nil {
		return fmt.Errorf("unbind %s: %w", p, err)
	}
	defer s.leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.update(durable, func(c *changes) error {
		old, err := s.bound(p)
		if err != nil {
			return err
		}
		c.del(boundKey(p))
		c.del(binderKey(old, p))
		return nil
	})
	if err != nil {
		return fmt.Errorf("unbind %s: %w", p, err)
	}
	return nil
}

// CID returns what a PID is bound to. ErrNotFound.
func (s *Store) CID(p pir.PID) (cid.CID, error) {
	if err := s.enter(); err != nil {
		return cid.CID{}, fmt.Errorf("cid of %s: %w", p, err)
	}
	defer s.leave()
	c, err := s.bound(p)
	if err != nil {
		return cid.CID{}, fmt.Errorf("cid of %s: %w", p, err)
	}
	return c, nil
}

func (s *Store) bound(p pir.PID) (cid.CID, error) {
	v, err := s.get(boundKey(p))
	if err != nil {
		return cid.CID{}, err
	}
	return cid.FromBytes(v)
}

// PIDs yields the PIDs that are bound to c.
func (s *Store) PIDs(c cid.CID) iter.Seq2[pir.PID, error] {
	return func(yield func(pir.PID, error) bool) {
		prefix := key(keyBinder, c.Bytes())
		for k, v := range s.scanCall(prefix) {
			if v.err != nil {
				yield(pir.PID{}, fmt.Errorf("pids of %s: %w", c, v.err))
				return
			}
			if len(k) != len(prefix)+len(pir.PID{}) {
				continue
			}
			if !yield(pir.PID(k[len(prefix):]), nil) {
				return
			}
		}
	}
}

// A Binding is one PID and what it is bound to.
type Binding struct {
	PID pir.PID
	CID cid.CID
}

// Bindings yields every binding, in the order of the PIDs.
func (s *Store) Bindings() iter.Seq2[Binding, error] {
	return func(yield func(Binding, error) bool) {
		for k, v := range s.scanCall([]byte{keyBound}) {
			var b Binding
			err := v.err
			if err == nil {
				b.PID = pir.PID(k[1:])
				b.CID, err = cid.FromBytes(v.value)
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

// Attestations yields what each signer claims about a PID: one for each content it has named, the newest.
// The signatures have been verified.
func (s *Store) Attestations(p pir.PID) iter.Seq2[protocol.Attestation, error] {
	return func(yield func(protocol.Attestation, error) bool) {
		for _, v := range s.scanCall(key(keyAtt, p[:])) {
			var a *protocol.Attestation
			err := v.err
			if err == nil {
				a, err = protocol.DecodeVerifiedAttestation(v.value)
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

// scanCall is scan as a call of its own.
func (s *Store) scanCall(prefix []byte) func(yield func([]byte, scanned) bool) {
	return func(yield func([]byte, scanned) bool) {
		if err := s.enter(); err != nil {
			yield(nil, scanned{err: err})
			return
		}
		defer s.leave()
		s.scan(prefix)(yield)
	}
}

// A Root is a name that keeps a tree from collection.
type Root struct {
	Name    string // a path such as "profile/NAME/NUMBER"
	CID     cid.CID
	PID     pir.PID   // what CID was realized from; zero if unknown
	Created time.Time // whole seconds
}

// maxRootName bounds a root's name in bytes.
const maxRootName = 1024

var errRootName = fmt.Errorf("a name is UTF-8 and has 1 to %d bytes", maxRootName)

func isRootName(name string) bool {
	return name != "" && len(name) <= maxRootName && utf8.ValidString(name)
}

func (r *Root) encode() ([]byte, error) {
	rec := nuon.Record{"root": int64(1), "cid": r.CID.String(), "created": r.Created.Unix()}
	if !r.PID.IsZero() {
		rec["pid"] = r.PID.String()
	}
	return nuon.Encode(rec)
}

func decodeRoot(name string, b []byte) (Root, error) {
	rec, err := nuon.DecodeRecord(b)
	if err != nil {
		return Root{}, err
	}
	r := Root{Name: name}
	text, _ := rec["cid"].(string)
	if r.CID, err = cid.Parse(text); err != nil {
		return Root{}, err
	}
	if text, ok := rec["pid"].(string); ok {
		if r.PID, err = pir.ParsePID(text); err != nil {
			return Root{}, err
		}
	}
	created, _ := rec["created"].(int64)
	r.Created = time.Unix(created, 0)
	again, err := r.encode()
	if err != nil || !bytes.Equal(again, b) {
		return Root{}, errValue
	}
	return r, nil
}

// PutRoot stores a root, replacing one of the same name. The store must hold its CID.
// It is on disk when PutRoot returns.
func (s *Store) PutRoot(ctx context.Context, r Root) error {
	if err := s.enter(); err != nil {
		return fmt.Errorf("put root %q: %w", r.Name, err)
	}
	defer s.leave()
	if err := s.putRoot(ctx, r); err != nil {
		return fmt.Errorf("put root %q: %w", r.Name, err)
	}
	return nil
}

func (s *Store) putRoot(ctx context.Context, r Root) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !isRootName(r.Name) {
		return errRootName
	}
	held, err := s.hasObject(r.CID)
	if err != nil {
		return err
	}
	if !held {
		return fmt.Errorf("%s: %w", r.CID, ErrNotFound)
	}
	v, err := r.encode()
	if err != nil {
		return err
	}
	if err := s.checkSpace(); err != nil {
		return err
	}
	c := s.change()
	c.set(key(keyRoot, []byte(r.Name)), v)
	return s.commit(c, durable)
}

// Roots yields the roots in the order of their names.
func (s *Store) Roots() iter.Seq2[Root, error] {
	return func(yield func(Root, error) bool) {
		for k, v := range s.scanCall([]byte{keyRoot}) {
			var r Root
			err := v.err
			if err == nil {
				r, err = decodeRoot(string(k[1:]), v.value)
			}
			if err != nil {
				yield(Root{}, fmt.Errorf("roots: %w", err))
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// DeleteRoot removes a root; what it named stays until it is collected. ErrNotFound.
func (s *Store) DeleteRoot(ctx context.Context, name string) error {
	if err := s.enter(); err != nil {
		return fmt.Errorf("delete root %q: %w", name, err)
	}
	defer s.leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.update(durable, func(c *changes) error {
		k := key(keyRoot, []byte(name))
		ok, err := s.has(k)
		if err == nil && !ok {
			err = ErrNotFound
		}
		c.del(k)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete root %q: %w", name, err)
	}
	return nil
}
