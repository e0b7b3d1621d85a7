// Package attest verifies attestations as registries keep them: statements about a file, in an envelope (DSSE) that a short-lived key signed, a certificate that names who
// used the key, and the promise of a public log that has them both (Sigstore).
//
// Verified is that an authority of the Roots gave the certificate, that a log of the Roots promises with its signature to have this envelope and certificate, and had them
// while the certificate was valid, that the certificate's key signed the statement, and that the statement is about the file. Not verified is the log itself (that the
// entry is in its tree), and the log of certificates. Roots are part of nuka: they are not updated in between (TUF), so what newer authorities and logs
// signed cannot be verified, and counts as nothing.
package attest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MordragT/nuka/pir"
)

// ErrUnknown says that an attestation cannot be verified: of another form, or by authorities and logs that the Roots do not have.
var ErrUnknown = errors.New("the attestation cannot be verified")

// Roots are what is trusted.
type Roots struct {
	Authorities *x509.CertPool
	Between     *x509.CertPool // certificates between authorities and those of signers
	Logs        map[string]*ecdsa.PublicKey
}

//go:embed roots.json
var rootsText []byte

// Public returns the roots of the public instance of Sigstore, as npm 11 has them.
var Public = sync.OnceValues(func() (*Roots, error) {
	var list struct {
		Authorities [][][]byte
		Logs        []struct{ ID, Key []byte }
	}
	if err := json.Unmarshal(rootsText, &list); err != nil {
		return nil, err
	}
	r := &Roots{Authorities: x509.NewCertPool(), Between: x509.NewCertPool(), Logs: map[string]*ecdsa.PublicKey{}}
	for _, chain := range list.Authorities { // the root is the last one
		for i, der := range chain {
			c, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, err
			}
			if i == len(chain)-1 {
				r.Authorities.AddCert(c)
			} else {
				r.Between.AddCert(c)
			}
		}
	}
	for _, l := range list.Logs {
		parsed, err := x509.ParsePKIXPublicKey(l.Key)
		key, ok := parsed.(*ecdsa.PublicKey)
		if err != nil || !ok {
			return nil, fmt.Errorf("the key of a log: %v", err)
		}
		r.Logs[string(l.ID)] = key
	}
	return r, nil
})

// An Attestation is one signed statement.
type Attestation struct {
	PayloadType string
	Statement   []byte // in-toto, JSON
	Signature   []byte
	Certificate []byte // DER
	Entries     []Entry
}

// An Entry is what a log says of an attestation.
type Entry struct {
	Body       []byte `json:"canonicalizedBody"`
	Integrated int64  `json:"integratedTime,string"`
	LogIndex   int64  `json:"logIndex,string"`
	LogID      struct {
		KeyID []byte `json:"keyId"`
	} `json:"logId"`
	Promise struct {
		Signature []byte `json:"signedEntryTimestamp"`
	} `json:"inclusionPromise"`
}

// A Signer is who signed, by the certificate.
type Signer struct {
	Name   string // an address, such as that of the workflow that published the file
	Issuer string // of the identity
}

// Verify returns the signer of an attestation about a file, by its hash. An error that wraps ErrUnknown means that nothing is known; others that something is wrong.
func (a *Attestation) Verify(file pir.Hash, roots *Roots) (*Signer, error) {
	leaf, err := x509.ParseCertificate(a.Certificate)
	if err != nil {
		return nil, fmt.Errorf("its certificate: %w", err)
	}
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: its key is of another kind than ECDSA", ErrUnknown)
	}
	at, err := a.logged(roots)
	if err != nil {
		return nil, err
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots.Authorities, Intermediates: roots.Between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}})
	if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
		return nil, fmt.Errorf("%w: %v", ErrUnknown, err)
	}
	if err != nil {
		return nil, fmt.Errorf("its certificate: %w", err)
	}
	digest := sha256.Sum256(fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(a.PayloadType), a.PayloadType, len(a.Statement), a.Statement))
	if !ecdsa.VerifyASN1(key, digest[:], a.Signature) {
		return nil, errors.New("the signature of its statement is wrong")
	}
	if err := a.about(file); err != nil {
		return nil, err
	}
	return signerOf(leaf)
}

// logged returns when a log took the attestation.
func (a *Attestation) logged(roots *Roots) (time.Time, error) {
	why := fmt.Errorf("%w: no log that is known promises to have it", ErrUnknown)
	for _, e := range a.Entries {
		key := roots.Logs[string(e.LogID.KeyID)]
		if key == nil || len(e.Promise.Signature) == 0 {
			continue
		}
		promised, err := json.Marshal(struct { // fields sorted, without spaces (RFC 8785)
			Body       []byte `json:"body"`
			Integrated int64  `json:"integratedTime"`
			LogID      string `json:"logID"`
			LogIndex   int64  `json:"logIndex"`
		}{e.Body, e.Integrated, hex.EncodeToString(e.LogID.KeyID), e.LogIndex})
		if err != nil {
			return time.Time{}, err
		}
		digest := sha256.Sum256(promised)
		if !ecdsa.VerifyASN1(key, digest[:], e.Promise.Signature) {
			return time.Time{}, errors.New("the promise of its log has a wrong signature")
		}
		if why = a.in(e.Body); why == nil {
			return time.Unix(e.Integrated, 0), nil
		}
	}
	return time.Time{}, why
}

// A logSignature is a signature in the entry of a log.
type logSignature struct{ signature, certificate []byte }

// in returns an error unless the entry of a log is about this statement, signature and certificate.
func (a *Attestation) in(body []byte) error {
	statement, signatures, err := readEntry(body)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(a.Statement)
	if statement != "sha256:"+hex.EncodeToString(sum[:]) {
		return errors.New("its log has another statement")
	}
	for _, s := range signatures {
		block, _ := pem.Decode(s.certificate)
		if bytes.Equal(s.signature, a.Signature) && block != nil && bytes.Equal(block.Bytes, a.Certificate) {
			return nil
		}
	}
	return errors.New("its log has another signature or certificate")
}

// readEntry reads the entry of a log in one of its two forms (Rekor's types dsse 0.0.1 and intoto 0.0.2).
func readEntry(body []byte) (statement string, signatures []logSignature, err error) {
	type hash struct{ Algorithm, Value string }
	var entry struct {
		APIVersion, Kind string
		Spec             struct {
			PayloadHash hash
			Signatures  []struct{ Signature, Verifier []byte }
			Content     struct {
				PayloadHash hash
				Envelope    struct {
					Signatures []struct{ PublicKey, Sig []byte }
				}
			}
		}
	}
	unknown := fmt.Errorf("%w: the log has it in another form", ErrUnknown)
	if json.Unmarshal(body, &entry) != nil {
		return "", nil, unknown
	}
	h := entry.Spec.PayloadHash
	switch entry.Kind + " " + entry.APIVersion {
	case "dsse 0.0.1":
		for _, s := range entry.Spec.Signatures {
			signatures = append(signatures, logSignature{s.Signature, s.Verifier})
		}
	case "intoto 0.0.2":
		h = entry.Spec.Content.PayloadHash
		for _, s := range entry.Spec.Content.Envelope.Signatures {
			signature, err := base64.StdEncoding.DecodeString(string(s.Sig)) // it is encoded twice
			if err != nil {
				return "", nil, unknown
			}
			signatures = append(signatures, logSignature{signature, s.PublicKey})
		}
	default:
		return "", nil, unknown
	}
	return h.Algorithm + ":" + h.Value, signatures, nil
}

// about returns an error unless the statement names a file with a hash.
func (a *Attestation) about(file pir.Hash) error {
	var statement struct {
		Type    string `json:"_type"`
		Subject []struct{ Digest map[string]string }
	}
	if err := json.Unmarshal(a.Statement, &statement); err != nil || !strings.HasPrefix(statement.Type, "https://in-toto.io/Statement/") {
		return fmt.Errorf("%w: its statement has another form", ErrUnknown)
	}
	same := false
	for _, s := range statement.Subject {
		digest, ok := s.Digest[string(file.Algorithm)]
		if ok && strings.EqualFold(digest, hex.EncodeToString(file.Digest())) {
			return nil
		}
		same = same || ok
	}
	if !same {
		return fmt.Errorf("%w: its statement has no %s", ErrUnknown, file.Algorithm)
	}
	return errors.New("its statement is about another file")
}

// issuer is the extension of a certificate with the issuer of the signer's identity (Fulcio's 1.3.6.1.4.1.57264.1.8).
var issuer = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}

func signerOf(c *x509.Certificate) (*Signer, error) {
	var s Signer
	for _, u := range c.URIs {
		s.Name = u.String()
	}
	if len(c.URIs) == 0 && len(c.EmailAddresses) == 1 {
		s.Name = c.EmailAddresses[0]
	}
	i := slices.IndexFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(issuer) })
	if len(c.URIs) > 1 || s.Name == "" || len(s.Name) > 500 || i < 0 || strings.ContainsFunc(s.Name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, fmt.Errorf("%w: its certificate names nobody in a usual form", ErrUnknown)
	}
	if rest, err := asn1.Unmarshal(c.Extensions[i].Value, &s.Issuer); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("%w: its certificate has no issuer", ErrUnknown)
	}
	return &s, nil
}
