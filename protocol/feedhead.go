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
	// feedHeadDomain separates these signatures from every other use of the key.
	feedHeadDomain = "nuka feed 1\x00"
	// MaxFeedHead bounds the bytes of one signed head of a feed.
	MaxFeedHead = 4 << 10
	// MaxFeedLifetime bounds the time between the issue of a head and its expiry. A feed whose heads stop coming is noticed within it.
	MaxFeedLifetime = 7 * 24 * time.Hour
	// MaxFeedStep bounds the growth of the number from one head to the next that is accepted. A thief of the key can thus not use up all numbers.
	MaxFeedStep = 1 << 20
)

// A FeedHead is the signed head of a feed of advisories: a signer's assertion that the feed has this tree from this number on.
// Of two heads of a feed and a signer, the one with the larger number counts.
type FeedHead struct {
	Name    string    // the signer's name of the feed, in the form of a package set's
	Number  int64     // from 1, larger with each head
	Root    cid.CID   // of the feed's tree, without the file of heads
	Issued  time.Time // whole seconds
	Expires time.Time // whole seconds, at most MaxFeedLifetime after Issued
	// Revoked revokes the key: no head of the key counts any more. It counts even after it has expired.
	Revoked bool
	// Next is the key that its owner has after a revoked one; zero if there is none.
	Next Key

	Signer    Key
	Signature [ed25519.SignatureSize]byte
}

// Fresh reports whether the head is valid at a time. A head issued more than MaxSkew ahead is not.
func (h *FeedHead) Fresh(now time.Time) bool {
	return now.Before(h.Expires) && h.Issued.Before(now.Add(MaxSkew))
}

// Sign sets Signer and Signature of h, and cuts its times to whole seconds.
func (h *FeedHead) Sign(private ed25519.PrivateKey) error {
	h.Signer = KeyOf(private)
	h.Issued, h.Expires = h.Issued.Truncate(time.Second), h.Expires.Truncate(time.Second)
	var err error
	h.Signature, err = signStatement(feedHeadDomain, h, private)
	return err
}

func (h *FeedHead) record() (nuon.Record, error) {
	switch {
	case !IsSetName(h.Name):
		return nil, fmt.Errorf("head of a feed: name %.80q: want lower-case letters, digits and . _ -, 64 at most", h.Name)
	case h.Number < 1 || h.Root.IsZero() || h.Issued.Unix() <= 0 || !h.Expires.After(h.Issued) || !h.Next.IsZero() && !h.Revoked:
		return nil, fmt.Errorf("head of the feed %s: incomplete", h.Name)
	case h.Expires.Sub(h.Issued) > MaxFeedLifetime:
		return nil, fmt.Errorf("head of the feed %s: it is valid for %s, want at most %s", h.Name, h.Expires.Sub(h.Issued), MaxFeedLifetime)
	}
	rec := nuon.Record{
		"feed":    int64(1),
		"name":    h.Name,
		"number":  h.Number,
		"root":    h.Root.String(),
		"issued":  h.Issued.Unix(),
		"expires": h.Expires.Unix(),
		"signer":  h.Signer.String(),
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
func (h *FeedHead) Encode() ([]byte, error) {
	return encodeStatement(h, h.Signature)
}

// DecodeFeedHead reads a head from its canonical bytes and verifies its signature. It does not check whether the head counts (signer, time).
func DecodeFeedHead(canonical []byte) (*FeedHead, error) {
	if len(canonical) > MaxFeedHead {
		return nil, fmt.Errorf("decode head of a feed: %d bytes are more than %d", len(canonical), MaxFeedHead)
	}
	rec, err := nuon.DecodeRecord(canonical)
	if err != nil {
		return nil, fmt.Errorf("decode head of a feed: %w", err)
	}
	h := &FeedHead{}
	text := func(field string) string { s, _ := rec[field].(string); return s }
	h.Name = text("name")
	if h.Signer, err = ParseKey(text("signer")); err != nil {
		return nil, fmt.Errorf("decode head of a feed: %w", err)
	}
	if h.Root, err = cid.Parse(text("root")); err != nil {
		return nil, fmt.Errorf("decode head of a feed: %w", err)
	}
	if s := text("next"); s != "" {
		if h.Next, err = ParseKey(s); err != nil {
			return nil, fmt.Errorf("decode head of a feed: %w", err)
		}
	}
	h.Number, _ = rec["number"].(int64)
	h.Revoked, _ = rec["revoked"].(bool)
	issued, _ := rec["issued"].(int64)
	expires, _ := rec["expires"].(int64)
	h.Issued, h.Expires = time.Unix(issued, 0), time.Unix(expires, 0)
	h.Signature, err = verifyStatement("head of a feed", feedHeadDomain, h, h.Signer, rec, canonical)
	if errors.Is(err, errWrongSignature) {
		return nil, fmt.Errorf("head %d of the feed %s: wrong signature of %s", h.Number, h.Name, h.Signer)
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}
