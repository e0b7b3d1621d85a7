package protocol

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
)

const (
	// headDomain separates these signatures from every other use of the key.
	headDomain = "nuka head 1\x00"
	// MaxHead bounds the bytes of one head.
	MaxHead = 4 << 10
	// HeadLifetime is how long a signed head is valid after it was issued, unless it expires earlier.
	HeadLifetime = 7 * 24 * time.Hour
	// MaxSkew is how far a signer's clock may be ahead of this machine's.
	MaxSkew = 24 * time.Hour
	// toldSkew is the clock difference above which users are warned.
	toldSkew = 2 * time.Minute
)

// A Head is a signer's newest signed checkpoint of its attestations: its number, how long it is fresh, and
// the CID of the list of attestations. Of two heads the one with the larger number counts.
type Head struct {
	Number  int64     // from 1, one more with each head
	Root    cid.CID   // of the list of its attestations, see EncodeStatements; zero if there are none
	Issued  time.Time // whole seconds
	Expires time.Time // whole seconds
	// Revoked revokes the key. No head of the key may follow.
	Revoked bool
	// Next is the key that replaces a revoked one; zero if there is none.
	Next Key

	Signer    Key
	Signature [ed25519.SignatureSize]byte
}

// ErrBackward is wrapped by the errors of Head.After: the signer, or the peer that sent the head, contradicts a known head.
var ErrBackward = errors.New("the head goes back")

// After reports whether h replaces old, which may be nil. An equal head does not replace it.
// The error wraps ErrBackward if old has a larger number, has the same number and other content, or revokes the key.
func (h *Head) After(old *Head) (bool, error) {
	switch {
	case old == nil:
		return true, nil
	case h.Signer != old.Signer:
		return false, fmt.Errorf("heads of %s and %s cannot be compared", h.Signer, old.Signer)
	case h.Number == old.Number && h.Signature == old.Signature: // ed25519 is deterministic: the same content has the same signature
		return false, nil
	case old.Revoked && !h.Revoked:
		return false, fmt.Errorf("head %d of %s: its key was revoked by head %d: %w", h.Number, h.Signer, old.Number, ErrBackward)
	case h.Number < old.Number:
		return false, fmt.Errorf("head %d of %s: head %d is known: %w", h.Number, h.Signer, old.Number, ErrBackward)
	case h.Number == old.Number:
		return false, fmt.Errorf("head %d of %s: there are two of this number: %w", h.Number, h.Signer, ErrBackward)
	}
	return true, nil
}

// Fresh reports whether the head is valid at a time. A head issued more than MaxSkew ahead is not.
func (h *Head) Fresh(now time.Time) bool {
	return now.Before(h.Expires) && h.Issued.Before(now.Add(MaxSkew))
}

// Sign sets Signer and Signature of h, and cuts its times to whole seconds.
func (h *Head) Sign(private ed25519.PrivateKey) error {
	h.Signer = KeyOf(private)
	h.Issued, h.Expires = h.Issued.Truncate(time.Second), h.Expires.Truncate(time.Second)
	var err error
	h.Signature, err = signStatement(headDomain, h, private)
	return err
}

func (h *Head) record() (nuon.Record, error) {
	if h.Number < 1 || h.Issued.IsZero() || !h.Expires.After(h.Issued) || !h.Next.IsZero() && !h.Revoked {
		return nil, fmt.Errorf("head of %s: incomplete", h.Signer)
	}
	rec := nuon.Record{
		"head":    int64(1),
		"number":  h.Number,
		"issued":  h.Issued.Unix(),
		"expires": h.Expires.Unix(),
		"signer":  h.Signer.String(),
	}
	if !h.Root.IsZero() {
		rec["root"] = h.Root.String()
	}
	if h.Revoked {
		rec["revoked"] = true
	}
	if !h.Next.IsZero() {
		rec["next"] = h.Next.String()
	}
	return rec, nil
}

// Encode returns the canonical bytes of a signed head.
func (h *Head) Encode() ([]byte, error) {
	return encodeStatement(h, h.Signature)
}

// DecodeHead reads a head from its canonical bytes and verifies its signature.
func DecodeHead(canonical []byte) (*Head, error) {
	if len(canonical) > MaxHead {
		return nil, fmt.Errorf("decode head: %d bytes are more than %d", len(canonical), MaxHead)
	}
	rec, err := nuon.DecodeRecord(canonical)
	if err != nil {
		return nil, fmt.Errorf("decode head: %w", err)
	}
	h := &Head{}
	text := func(field string) string { s, _ := rec[field].(string); return s }
	if h.Signer, err = ParseKey(text("signer")); err != nil {
		return nil, fmt.Errorf("decode head: %w", err)
	}
	if s := text("root"); s != "" {
		if h.Root, err = cid.Parse(s); err != nil {
			return nil, fmt.Errorf("decode head: %w", err)
		}
	}
	if s := text("next"); s != "" {
		if h.Next, err = ParseKey(s); err != nil {
			return nil, fmt.Errorf("decode head: %w", err)
		}
	}
	h.Number, _ = rec["number"].(int64)
	h.Revoked, _ = rec["revoked"].(bool)
	issued, _ := rec["issued"].(int64)
	expires, _ := rec["expires"].(int64)
	h.Issued, h.Expires = time.Unix(issued, 0), time.Unix(expires, 0)
	h.Signature, err = verifyStatement("head", headDomain, h, h.Signer, rec, canonical)
	if errors.Is(err, errWrongSignature) {
		return nil, fmt.Errorf("head %d of %s: wrong signature", h.Number, h.Signer)
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}
