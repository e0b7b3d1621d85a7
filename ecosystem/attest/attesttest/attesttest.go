// Package attesttest makes attestations for tests, with an authority and a log of its own.
package attesttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/MordragT/nuka/ecosystem/attest"
	"github.com/MordragT/nuka/pir"
)

// A Maker is an authority and a log.
type Maker struct {
	t         testing.TB
	ca        *x509.Certificate
	key, log  *ecdsa.PrivateKey
	Published time.Time // when the log takes attestations
	InToto    bool      // the log has its older form
}

// New returns a Maker.
func New(t testing.TB) *Maker {
	t.Helper()
	m := &Maker{t: t, key: newKey(t), log: newKey(t), Published: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: m.Published.AddDate(-1, 0, 0), NotAfter: m.Published.AddDate(1, 0, 0)}
	m.ca = m.certify(template, template, &m.key.PublicKey)
	return m
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (m *Maker) certify(template, parent *x509.Certificate, public *ecdsa.PublicKey) *x509.Certificate {
	m.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, m.key)
	if err != nil {
		m.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

// LogID is the name of the log.
const LogID = "the log's name in 32 bytes......"

// Roots returns those that trust the Maker.
func (m *Maker) Roots() *attest.Roots {
	r := &attest.Roots{Authorities: x509.NewCertPool(), Between: x509.NewCertPool(), Logs: map[string]*ecdsa.PublicKey{LogID: &m.log.PublicKey}}
	r.Authorities.AddCert(m.ca)
	return r
}

// Attest returns an attestation about a file by a signer, an address.
func (m *Maker) Attest(file pir.Hash, signer string) *attest.Attestation {
	m.t.Helper()
	at, err := url.Parse(signer)
	if err != nil {
		m.t.Fatal(err)
	}
	issuer, err := asn1.MarshalWithParams("https://issuer.example.org", "utf8")
	if err != nil {
		m.t.Fatal(err)
	}
	key := newKey(m.t)
	leaf := m.certify(&x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: m.Published.Add(-time.Minute), NotAfter: m.Published.Add(9 * time.Minute), URIs: []*url.URL{at},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: issuer}},
	}, m.ca, &key.PublicKey)
	a := &attest.Attestation{
		PayloadType: "application/vnd.in-toto+json", Certificate: leaf.Raw,
		Statement: fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"f","digest":{%q:"%x"}}],"predicateType":"https://example.org/publish"}`, file.Algorithm, file.Digest()),
	}
	a.Signature = m.sign(key, fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(a.PayloadType), a.PayloadType, len(a.Statement), a.Statement))
	m.Log(a)
	return a
}

func (m *Maker) sign(key *ecdsa.PrivateKey, text []byte) []byte {
	m.t.Helper()
	sum := sha256.Sum256(text)
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		m.t.Fatal(err)
	}
	return sig
}

// Log has the log take an attestation as it is.
func (m *Maker) Log(a *attest.Attestation) {
	m.t.Helper()
	sum := sha256.Sum256(a.Statement)
	hash := map[string]string{"algorithm": "sha256", "value": hex.EncodeToString(sum[:])}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate})
	entry := map[string]any{"apiVersion": "0.0.1", "kind": "dsse", "spec": map[string]any{
		"payloadHash": hash, "signatures": []map[string][]byte{{"signature": a.Signature, "verifier": certificate}},
	}}
	if m.InToto {
		entry = map[string]any{"apiVersion": "0.0.2", "kind": "intoto", "spec": map[string]any{"content": map[string]any{
			"payloadHash": hash, "envelope": map[string]any{"payloadType": a.PayloadType, "signatures": []map[string][]byte{
				{"sig": []byte(base64.StdEncoding.EncodeToString(a.Signature)), "publicKey": certificate},
			}},
		}}}
	}
	body, err := json.Marshal(entry)
	if err != nil {
		m.t.Fatal(err)
	}
	e := attest.Entry{Body: body, Integrated: m.Published.Unix(), LogIndex: 7}
	e.LogID.KeyID = []byte(LogID)
	promised, err := json.Marshal(map[string]any{"body": body, "integratedTime": e.Integrated, "logID": hex.EncodeToString(e.LogID.KeyID), "logIndex": e.LogIndex})
	if err != nil {
		m.t.Fatal(err)
	}
	e.Promise.Signature = m.sign(m.log, promised)
	a.Entries = []attest.Entry{e}
}

// Provenance returns the file of a registry with attestations (PEP 740).
func Provenance(list ...*attest.Attestation) []byte {
	var of []any
	for _, a := range list {
		of = append(of, map[string]any{
			"version": 1, "envelope": map[string][]byte{"statement": a.Statement, "signature": a.Signature},
			"verification_material": map[string]any{"certificate": a.Certificate, "transparency_entries": a.Entries},
		})
	}
	text, err := json.Marshal(map[string]any{"version": 1, "attestation_bundles": []any{map[string]any{"publisher": map[string]string{"kind": "Other"}, "attestations": of}}})
	if err != nil {
		panic(err) // maps, texts and bytes
	}
	return text
}

// Bundles returns the text of npm's registry with attestations. Its first one is the registry's own, by a key.
func Bundles(list ...*attest.Attestation) []byte {
	of := []any{map[string]any{"predicateType": "https://example.org/publish", "bundle": map[string]any{"verificationMaterial": map[string]any{"publicKey": map[string]string{"hint": "a key"}},
		"dsseEnvelope": map[string]any{"payload": []byte("{}"), "payloadType": "application/vnd.in-toto+json", "signatures": []map[string][]byte{{"sig": []byte("x")}}}}}}
	for i, a := range list {
		material := map[string]any{"tlogEntries": a.Entries, "certificate": map[string][]byte{"rawBytes": a.Certificate}}
		if i%2 == 1 { // of older bundles
			delete(material, "certificate")
			material["x509CertificateChain"] = map[string]any{"certificates": []map[string][]byte{{"rawBytes": a.Certificate}}}
		}
		of = append(of, map[string]any{"predicateType": "https://slsa.dev/provenance/v1", "bundle": map[string]any{"verificationMaterial": material,
			"dsseEnvelope": map[string]any{"payload": a.Statement, "payloadType": a.PayloadType, "signatures": []map[string][]byte{{"sig": a.Signature}}}}})
	}
	text, err := json.Marshal(map[string]any{"attestations": of})
	if err != nil {
		panic(err) // maps, texts and bytes
	}
	return text
}
