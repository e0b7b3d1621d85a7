package protocol

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
)

// A Key identifies a signer: an ed25519 public key (RFC 8032).
// Keys are comparable. The zero Key identifies no signer.
type Key [ed25519.PublicKeySize]byte

var keyText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

const keyPrefix = "key-"

// ParseKey reads the text form of a key: "key-" and 52 characters of lower-case base32.
func ParseKey(s string) (Key, error) {
	text, ok := strings.CutPrefix(s, keyPrefix)
	b, err := keyText.DecodeString(text)
	if !ok || err != nil || len(b) != len(Key{}) || keyText.EncodeToString(b) != text {
		return Key{}, fmt.Errorf("parse key %.80q: want key- and 52 characters of a-z and 2-7", s)
	}
	return Key(b), nil
}

// String returns the text form of k.
func (k Key) String() string { return keyPrefix + keyText.EncodeToString(k[:]) }

// IsZero reports whether k is the zero Key.
func (k Key) IsZero() bool { return k == Key{} }

// KeyOf returns the Key of a private key.
func KeyOf(private ed25519.PrivateKey) Key {
	return Key(private.Public().(ed25519.PublicKey))
}

const (
	// attestationDomain separates these signatures from every other use of the key.
	attestationDomain = "nuka attestation 1\x00"
	// maxRefs bounds the references of one attestation.
	maxRefs = 10_000
	// maxAttestation bounds the bytes of one attestation.
	maxAttestation = 1 << 20
)

// An Attestation is one signer's claim that realizing PID gave CID.
// Several signers may claim different CIDs for one PID; the policy decides.
type Attestation struct {
	PID     pir.PID
	CID     cid.CID
	Refs    []pir.PID // what the content needs at run time, sorted, each once
	Size    int64     // bytes of content; budgets count it
	Issued  time.Time // whole seconds
	Expires time.Time // whole seconds; zero means never
	// Via is set if the signer has not made the content itself: PID resolves to the PID Via, and only other signers claim that Via has this
	// content. Such an attestation is a record for the node itself: it is no vote, and the node does not send it to others.
	Via pir.PID

	Signer    Key
	Signature [ed25519.SignatureSize]byte
}

// Sign sets Signer and Signature of a, and cuts its times to whole seconds.
func (a *Attestation) Sign(private ed25519.PrivateKey) error {
	a.Signer = KeyOf(private)
	a.Issued = a.Issued.Truncate(time.Second)
	a.Expires = a.Expires.Truncate(time.Second)
	var err error
	a.Signature, err = signStatement(attestationDomain, a, private)
	return err
}

// Verify reports whether the signature is Signer's over the claim.
// It does not check whether the claim counts (time, policy).
func (a *Attestation) Verify() error {
	err := checkSignature(attestationDomain, a, a.Signer, a.Signature)
	if errors.Is(err, errWrongSignature) {
		return fmt.Errorf("attestation for %s by %s: wrong signature", a.PID.Short(), a.Signer)
	}
	return err
}

func (a *Attestation) record() (nuon.Record, error) {
	if a.PID.IsZero() || a.CID.IsZero() || a.Size < 0 || a.Issued.IsZero() || len(a.Refs) > maxRefs {
		return nil, fmt.Errorf("attestation for %s: incomplete, or more than %d references", a.PID.Short(), maxRefs)
	}
	refs := make(nuon.List, len(a.Refs))
	for i, ref := range a.Refs {
		if i > 0 && bytes.Compare(a.Refs[i-1][:], ref[:]) >= 0 {
			return nil, fmt.Errorf("attestation for %s: references not sorted", a.PID.Short())
		}
		refs[i] = ref.String()
	}
	rec := nuon.Record{
		"attestation": int64(1),
		"pid":         a.PID.String(),
		"cid":         a.CID.String(),
		"refs":        refs,
		"size":        nuon.Filesize(a.Size),
		"issued":      a.Issued.Unix(),
		"signer":      a.Signer.String(),
	}
	if !a.Expires.IsZero() {
		rec["expires"] = a.Expires.Unix()
	}
	if !a.Via.IsZero() {
		rec["via"] = a.Via.String()
	}
	return rec, nil
}

// Encode returns the canonical bytes of a signed attestation.
func (a *Attestation) Encode() ([]byte, error) { return encodeStatement(a, a.Signature) }

// DecodeAttestation reads an attestation from its canonical bytes and verifies its signature.
func DecodeAttestation(canonical []byte) (*Attestation, error) {
	if len(canonical) > maxAttestation {
		return nil, fmt.Errorf("decode attestation: %d bytes are more than %d", len(canonical), maxAttestation)
	}
	a, err := DecodeVerifiedAttestation(canonical)
	if err != nil {
		return nil, err
	}
	again, err := a.Encode()
	if err != nil {
		return nil, fmt.Errorf("decode attestation: %w", err)
	}
	if !bytes.Equal(again, canonical) {
		return nil, errors.New("decode attestation: unknown or malformed field")
	}
	return a, a.Verify()
}

// DecodeVerifiedAttestation decodes bytes that DecodeAttestation has accepted before. It does not verify the signature again,
// which takes most of the time.
func DecodeVerifiedAttestation(canonical []byte) (*Attestation, error) {
	rec, err := nuon.DecodeRecord(canonical)
	if err != nil {
		return nil, fmt.Errorf("decode attestation: %w", err)
	}
	a, err := attestationFrom(rec)
	if err != nil {
		return nil, fmt.Errorf("decode attestation: %w", err)
	}
	return a, nil
}

func attestationFrom(rec nuon.Record) (*Attestation, error) {
	text := func(field string) string { s, _ := rec[field].(string); return s }
	a := &Attestation{}
	var errs [3]error
	a.PID, errs[0] = pir.ParsePID(text("pid"))
	a.CID, errs[1] = cid.Parse(text("cid"))
	a.Signer, errs[2] = ParseKey(text("signer"))
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	refs, _ := rec["refs"].(nuon.List)
	if len(refs) > maxRefs {
		return nil, fmt.Errorf("more than %d references", maxRefs)
	}
	for _, ref := range refs {
		s, _ := ref.(string)
		id, err := pir.ParsePID(s)
		if err != nil {
			return nil, err
		}
		a.Refs = append(a.Refs, id)
	}
	size, _ := rec["size"].(nuon.Filesize)
	a.Size = int64(size)
	issued, ok := rec["issued"].(int64)
	if !ok {
		return nil, errors.New(`field "issued": want seconds since 1970`)
	}
	a.Issued = time.Unix(issued, 0)
	if expires, ok := rec["expires"].(int64); ok {
		a.Expires = time.Unix(expires, 0)
	}
	if via, ok := rec["via"].(string); ok {
		var err error
		if a.Via, err = pir.ParsePID(via); err != nil {
			return nil, err
		}
	}
	signature, _ := rec["signature"].(nuon.Binary)
	if len(signature) != ed25519.SignatureSize {
		return nil, errors.New(`field "signature": want 64 bytes`)
	}
	a.Signature = [ed25519.SignatureSize]byte(signature)
	return a, nil
}

// SortRefs sorts ids and drops duplicates, as Attestation.Refs requires.
func SortRefs(ids []pir.PID) []pir.PID {
	slices.SortFunc(ids, func(a, b pir.PID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(ids)
}

// MarshalText implements encoding.TextMarshaler with the text form.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; it reads what ParseKey reads.
func (k *Key) UnmarshalText(text []byte) (err error) {
	*k, err = ParseKey(string(text))
	return err
}
