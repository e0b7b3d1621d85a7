package protocol

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/MordragT/nuka/internal/lazyregexp"
	"github.com/MordragT/nuka/pir/nuon"
)

const (
	// certificateDomain and revocationDomain separate these signatures from every other use of the key.
	certificateDomain = "nuka certificate 1\x00"
	revocationDomain  = "nuka revocations 1\x00"
	// CertificateLifetime is how long a membership lasts. In its last third, the member that issued it or the authority renews it.
	CertificateLifetime = 365 * 24 * time.Hour
	// MaxRevoked bounds the keys of one list of revocations.
	MaxRevoked = 200
	// maxCertificate bounds the bytes of one certificate.
	maxCertificate = 1 << 10
	meshSecretSize = 32
)

var (
	meshName = lazyregexp.New(`^[a-z][a-z0-9-]{0,31}$`)
	meshText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
)

// A Mesh is a private swarm. A node needs its secret to find it, and a certificate from its authority to be admitted.
type Mesh struct {
	Name      string // its name among members
	Secret    [meshSecretSize]byte
	Authority Key // the key that admits members, directly or through members that may invite
}

// Check returns an error about the first fault in m, or nil.
func (m *Mesh) Check() error {
	if !meshName().MatchString(m.Name) {
		return fmt.Errorf("mesh %.40q: a name has up to 32 of a-z, 0-9 and -, and begins with a letter", m.Name)
	}
	if m.Authority.IsZero() || m.Secret == [meshSecretSize]byte{} {
		return fmt.Errorf("mesh %s: it has no authority or no secret", m.Name)
	}
	return nil
}

// ID returns an identifier of the mesh, which reveals nothing to those that do not know the mesh.
func (m *Mesh) ID() [32]byte {
	return derive("nuka mesh id 1", slices.Concat(m.Secret[:], m.Authority[:]))
}

// Prefix returns the prefix of the mesh's protocol ids. Its nodes also find each other by it on a local network.
func (m *Mesh) Prefix() string {
	sum := derive("nuka mesh prefix 1", m.Secret[:])
	return "/nuka-" + meshText.EncodeToString(sum[:15])
}

// A Certificate says that a key is a member of a mesh.
type Certificate struct {
	Mesh    [32]byte // Mesh.ID
	Member  Key
	Invites bool // the member may admit others; only the authority grants that
	Issued  time.Time
	Expires time.Time

	Signer    Key
	Signature [ed25519.SignatureSize]byte
}

// Sign sets Signer and Signature of c, and cuts its times to whole seconds.
func (c *Certificate) Sign(private ed25519.PrivateKey) error {
	c.Signer = KeyOf(private)
	c.Issued, c.Expires = c.Issued.Truncate(time.Second), c.Expires.Truncate(time.Second)
	var err error
	c.Signature, err = signStatement(certificateDomain, c, private)
	return err
}

func (c *Certificate) record() (nuon.Record, error) {
	if c.Member.IsZero() || c.Issued.IsZero() || !c.Expires.After(c.Issued) {
		return nil, fmt.Errorf("certificate of %s: incomplete", c.Member)
	}
	rec := nuon.Record{
		"certificate": int64(1),
		"mesh":        nuon.Binary(c.Mesh[:]),
		"member":      c.Member.String(),
		"issued":      c.Issued.Unix(),
		"expires":     c.Expires.Unix(),
		"signer":      c.Signer.String(),
	}
	if c.Invites {
		rec["invites"] = true
	}
	return rec, nil
}

// Encode returns the canonical bytes of a signed certificate.
func (c *Certificate) Encode() ([]byte, error) { return encodeStatement(c, c.Signature) }

// decodeCertificate reads a certificate from its canonical bytes and verifies its signature.
// Whether it lets anybody in is Credential.Admits' concern.
func decodeCertificate(canonical []byte) (*Certificate, error) {
	if len(canonical) > maxCertificate {
		return nil, fmt.Errorf("decode certificate: %d bytes are more than %d", len(canonical), maxCertificate)
	}
	rec, err := nuon.DecodeRecord(canonical)
	if err != nil {
		return nil, fmt.Errorf("decode certificate: %w", err)
	}
	c := &Certificate{}
	var errs [2]error
	c.Member, errs[0] = ParseKey(text(rec, "member"))
	c.Signer, errs[1] = ParseKey(text(rec, "signer"))
	c.Invites, _ = rec["invites"].(bool)
	mesh, _ := rec["mesh"].(nuon.Binary)
	issued, _ := rec["issued"].(int64)
	expires, _ := rec["expires"].(int64)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("decode certificate: %w", err)
	}
	if len(mesh) != len(c.Mesh) {
		return nil, errors.New("decode certificate: a field is missing")
	}
	c.Mesh = [32]byte(mesh)
	c.Issued, c.Expires = time.Unix(issued, 0), time.Unix(expires, 0)
	c.Signature, err = verifyStatement("certificate", certificateDomain, c, c.Signer, rec, canonical)
	if errors.Is(err, errWrongSignature) {
		return nil, fmt.Errorf("certificate of %s by %s: wrong signature", c.Member, c.Signer)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

func text(rec nuon.Record, field string) string { s, _ := rec[field].(string); return s }

// Revocations are the keys that a mesh's authority has revoked. Of two lists the one with the larger number counts.
type Revocations struct {
	Mesh   [32]byte
	Number int64 // from 1
	Keys   []Key // sorted, each once

	Signer    Key
	Signature [ed25519.SignatureSize]byte
}

// Sign sorts the keys and sets Signer and Signature of r.
func (r *Revocations) Sign(private ed25519.PrivateKey) error {
	r.Signer = KeyOf(private)
	slices.SortFunc(r.Keys, func(a, b Key) int { return bytes.Compare(a[:], b[:]) })
	r.Keys = slices.Compact(r.Keys)
	var err error
	r.Signature, err = signStatement(revocationDomain, r, private)
	return err
}

func (r *Revocations) record() (nuon.Record, error) {
	if r.Number < 1 || len(r.Keys) > MaxRevoked {
		return nil, fmt.Errorf("revocations %d: incomplete, or more than %d keys", r.Number, MaxRevoked)
	}
	keys := nuon.List{}
	for i, k := range r.Keys {
		if i > 0 && bytes.Compare(r.Keys[i-1][:], k[:]) >= 0 {
			return nil, fmt.Errorf("revocations %d: keys not sorted", r.Number)
		}
		keys = append(keys, k.String())
	}
	return nuon.Record{
		"revocations": int64(1), "mesh": nuon.Binary(r.Mesh[:]), "number": r.Number, "keys": keys, "signer": r.Signer.String(),
	}, nil
}

// Encode returns the canonical bytes of a signed list.
func (r *Revocations) Encode() ([]byte, error) { return encodeStatement(r, r.Signature) }

// decodeRevocations reads a list from its canonical bytes and verifies its signature.
func decodeRevocations(canonical []byte) (*Revocations, error) {
	rec, err := nuon.DecodeRecord(canonical)
	if err != nil {
		return nil, fmt.Errorf("decode revocations: %w", err)
	}
	r := &Revocations{}
	list, _ := rec["keys"].(nuon.List)
	for _, v := range list {
		s, _ := v.(string)
		key, err := ParseKey(s)
		if err != nil {
			return nil, fmt.Errorf("decode revocations: %w", err)
		}
		r.Keys = append(r.Keys, key)
	}
	mesh, _ := rec["mesh"].(nuon.Binary)
	r.Number, _ = rec["number"].(int64)
	if r.Signer, err = ParseKey(text(rec, "signer")); err != nil || len(mesh) != len(r.Mesh) {
		return nil, fmt.Errorf("decode revocations: a field is missing (%w)", err)
	}
	r.Mesh = [32]byte(mesh)
	r.Signature, err = verifyStatement("revocations", revocationDomain, r, r.Signer, rec, canonical)
	if errors.Is(err, errWrongSignature) {
		return nil, errors.New("decode revocations: wrong signature")
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// A Credential is what one member of a mesh presents to another: its certificate, the certificate of the member that signed it (if
// that was not the authority), and the newest revocations that it knows.
type Credential struct {
	Chain   []Certificate
	Revoked *Revocations // nil if it knows none
}

// Encode returns a line of canonical bytes for each part.
func (c *Credential) Encode() ([]byte, error) {
	var lines [][]byte
	for i := range c.Chain {
		b, err := c.Chain[i].Encode()
		if err != nil {
			return nil, err
		}
		lines = append(lines, b)
	}
	if c.Revoked != nil {
		b, err := c.Revoked.Encode()
		if err != nil {
			return nil, err
		}
		lines = append(lines, b)
	}
	return bytes.Join(lines, []byte("\n")), nil
}

// DecodeCredential reads what Encode writes, and verifies all signatures.
func DecodeCredential(b []byte) (*Credential, error) {
	c := &Credential{}
	lines := bytes.Split(b, []byte("\n"))
	if len(b) == 0 || len(lines) > 3 {
		return nil, fmt.Errorf("decode credential: %d lines", len(lines))
	}
	for i, line := range lines {
		if bytes.Contains(line, []byte(`"revocations":`)) && i > 0 && i == len(lines)-1 {
			r, err := decodeRevocations(line)
			if err != nil {
				return nil, err
			}
			c.Revoked = r
			continue
		}
		cert, err := decodeCertificate(line)
		if err != nil {
			return nil, err
		}
		c.Chain = append(c.Chain, *cert)
	}
	if len(c.Chain) > 2 {
		return nil, errors.New("decode credential: more certificates than a chain has")
	}
	return c, nil
}

// Admits returns an error that says why a key may not be in a mesh with this credential, or nil; revoked are the newest known
// revocations, or nil. A certificate counts if the authority signed it, or a member that the authority lets invite; if it and that
// member's certificate are valid now; and if neither key is revoked.
func (c *Credential) Admits(m *Mesh, key Key, revoked *Revocations, now time.Time) error {
	if len(c.Chain) == 0 || c.Chain[0].Member != key {
		return fmt.Errorf("mesh %s: the certificate is another's", m.Name)
	}
	id := m.ID()
	for i, cert := range c.Chain {
		switch {
		case cert.Mesh != id:
			return fmt.Errorf("mesh %s: the certificate is of another mesh", m.Name)
		case now.Add(MaxSkew).Before(cert.Issued) || !now.Before(cert.Expires):
			return fmt.Errorf("mesh %s: the certificate of %s is not valid now", m.Name, cert.Member)
		case revoked != nil && slices.Contains(revoked.Keys, cert.Member):
			return fmt.Errorf("mesh %s: %s was revoked", m.Name, cert.Member)
		case i > 0 && (!cert.Invites || cert.Member != c.Chain[i-1].Signer):
			return fmt.Errorf("mesh %s: %s may not invite others", m.Name, cert.Member)
		case i > 0 && c.Chain[i-1].Invites:
			return fmt.Errorf("mesh %s: only the authority decides who may invite others", m.Name)
		}
	}
	if last := c.Chain[len(c.Chain)-1]; last.Signer != m.Authority {
		return fmt.Errorf("mesh %s: its authority has not signed this", m.Name)
	}
	return nil
}

// Newer reports whether r replaces old, which may be nil. The error wraps ErrBackward if r contradicts old.
func (r *Revocations) Newer(m *Mesh, old *Revocations) (bool, error) {
	switch {
	case r.Mesh != m.ID() || r.Signer != m.Authority:
		return false, fmt.Errorf("mesh %s: revocations of another mesh, or not by its authority", m.Name)
	case old == nil:
		return true, nil
	case r.Number < old.Number:
		return false, nil // from a peer that has not received the newer list
	case r.Number == old.Number && r.Signature != old.Signature:
		return false, fmt.Errorf("mesh %s: two lists of revocations have the number %d: %w", m.Name, r.Number, ErrBackward)
	}
	return r.Number > old.Number, nil
}
