package protocol

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/MordragT/nuka/pir/nuon"
)

// A statement is a record that its signer signs, after the domain of its kind: a signature of one kind is none of another.
type statement interface {
	record() (nuon.Record, error)
}

// claimOf returns the bytes that are signed.
func claimOf(domain string, s statement) ([]byte, error) {
	rec, err := s.record()
	if err != nil {
		return nil, err
	}
	return nuon.Append([]byte(domain), rec)
}

// signStatement returns the signature of a statement.
func signStatement(domain string, s statement, private ed25519.PrivateKey) (signature [ed25519.SignatureSize]byte, err error) {
	claim, err := claimOf(domain, s)
	if err != nil {
		return signature, err
	}
	return [ed25519.SignatureSize]byte(ed25519.Sign(private, claim)), nil
}

// encodeStatement returns the canonical bytes of a signed statement.
func encodeStatement(s statement, signature [ed25519.SignatureSize]byte) ([]byte, error) {
	rec, err := s.record()
	if err != nil {
		return nil, err
	}
	rec["signature"] = nuon.Binary(signature[:])
	return nuon.Encode(rec)
}

var errWrongSignature = errors.New("wrong signature")

// verifyStatement returns the signature of a statement that was read from canonical bytes, whose record is rec: the statement has these bytes and no others, and its
// signer signed it, else errWrongSignature. Other errors begin with what was to be decoded.
func verifyStatement(what, domain string, s statement, signer Key, rec nuon.Record, canonical []byte) (signature [ed25519.SignatureSize]byte, err error) {
	raw, _ := rec["signature"].(nuon.Binary)
	if len(raw) != ed25519.SignatureSize {
		return signature, fmt.Errorf("decode %s: field \"signature\": want 64 bytes", what)
	}
	signature = [ed25519.SignatureSize]byte(raw)
	again, err := encodeStatement(s, signature)
	if err != nil {
		return signature, fmt.Errorf("decode %s: %w", what, err)
	}
	if !bytes.Equal(again, canonical) {
		return signature, fmt.Errorf("decode %s: unknown or malformed field", what)
	}
	return signature, checkSignature(domain, s, signer, signature)
}

// checkSignature returns errWrongSignature if a signature is not the signer's over the statement.
func checkSignature(domain string, s statement, signer Key, signature [ed25519.SignatureSize]byte) error {
	claim, err := claimOf(domain, s)
	if err != nil {
		return err
	}
	if !ed25519.Verify(signer[:], claim, signature[:]) {
		return errWrongSignature
	}
	return nil
}
