package protocol

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/MordragT/nuka/internal/lazyregexp"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
)

const (
	// setHeadDomain separates these signatures from every other use of the key.
	setHeadDomain = "nuka set 1\x00"
	// MaxSetHead bounds the bytes of one signed head of a package set.
	MaxSetHead = 4 << 10
)

var setNamePattern = lazyregexp.New(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// IsSetName reports whether a text can be the name of a package set: up to 64 lower-case letters, digits and . _ -, beginning with a
// letter or digit.
func IsSetName(s string) bool { return setNamePattern().MatchString(s) }

// A SetHead is the signed head of a package set: a signer's assertion that the set has this tree from this number on.
// Of two heads of a set the one with the larger number counts.
type SetHead struct {
	Name    string    // the signer's name of the set
	Number  int64     // from 1, larger with each head
	Root    cid.CID   // of the set's tree, without the head's file and without .git
	Issued  time.Time // whole seconds
	Expires time.Time // whole seconds

	Signer    Key
	Signature [ed25519.SignatureSize]byte
}

// Fresh reports whether the head is valid at a time. A head issued more than MaxSkew ahead is not.
func (h *SetHead) Fresh(now time.Time) bool {
	return now.Before(h.Expires) && h.Issued.Before(now.Add(MaxSkew))
}

// Sign sets Signer and Signature of h, and cuts its times to whole seconds.
func (h *SetHead) Sign(private ed25519.PrivateKey) error {
	h.Signer = KeyOf(private)
	h.Issued, h.Expires = h.Issued.Truncate(time.Second), h.Expires.Truncate(time.Second)
	var err error
	h.Signature, err = signStatement(setHeadDomain, h, private)
	return err
}

func (h *SetHead) record() (nuon.Record, error) {
	switch {
	case !IsSetName(h.Name):
		return nil, fmt.Errorf("head of a set: name %.80q: want lower-case letters, digits and . _ -, 64 at most", h.Name)
	case h.Number < 1 || h.Root.IsZero() || h.Issued.Unix() <= 0 || !h.Expires.After(h.Issued):
		return nil, fmt.Errorf("head of the set %s: incomplete", h.Name)
	}
	return nuon.Record{
		"set":     int64(1),
		"name":    h.Name,
		"number":  h.Number,
		"root":    h.Root.String(),
		"issued":  h.Issued.Unix(),
		"expires": h.Expires.Unix(),
		"signer":  h.Signer.String(),
	}, nil
}

// Encode returns the canonical bytes of a signed head.
func (h *SetHead) Encode() ([]byte, error) {
	return encodeStatement(h, h.Signature)
}

// DecodeSetHead reads a head from its canonical bytes and verifies its signature. It does not check whether the head counts (signer, time).
func DecodeSetHead(canonical []byte) (*SetHead, error) {
	if len(canonical) > MaxSetHead {
		return nil, fmt.Errorf("decode head of a set: %d bytes are more than %d", len(canonical), MaxSetHead)
	}
	rec, err := nuon.DecodeRecord(canonical)
	if err != nil {
		return nil, fmt.Errorf("decode head of a set: %w", err)
	}
	h := &SetHead{}
	text := func(field string) string { s, _ := rec[field].(string); return s }
	h.Name = text("name")
	if h.Signer, err = ParseKey(text("signer")); err != nil {
		return nil, fmt.Errorf("decode head of a set: %w", err)
	}
	if h.Root, err = cid.Parse(text("root")); err != nil {
		return nil, fmt.Errorf("decode head of a set: %w", err)
	}
	h.Number, _ = rec["number"].(int64)
	issued, _ := rec["issued"].(int64)
	expires, _ := rec["expires"].(int64)
	h.Issued, h.Expires = time.Unix(issued, 0), time.Unix(expires, 0)
	h.Signature, err = verifyStatement("head of a set", setHeadDomain, h, h.Signer, rec, canonical)
	if errors.Is(err, errWrongSignature) {
		return nil, fmt.Errorf("head %d of the set %s: wrong signature of %s", h.Number, h.Name, h.Signer)
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}
