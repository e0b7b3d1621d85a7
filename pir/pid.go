package pir

import (
	"encoding/base32"
	"errors"
	"fmt"

	"github.com/zeebo/blake3"
)

// keyContext separates PIDs from every other use of BLAKE3.
const keyContext = "nuka pir 1"

// A PID identifies a PIR: BLAKE3 in derive-key mode over its canonical bytes.
// PIDs are comparable. The zero PID identifies nothing.
type PID [32]byte

// PIDLen is the length of a PID's text in bytes.
const PIDLen = 52

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

var errBase32 = errors.New("want 52 characters of a-z and 2-7")

// Sum returns the PID of a PIR's canonical bytes.
func Sum(canonical []byte) PID {
	var id PID
	blake3.DeriveKey(keyContext, canonical, id[:])
	return id
}

// ParsePID parses the text form of a PID: 52 characters of lower-case base32 without padding.
func ParsePID(s string) (PID, error) {
	id, err := parseDigest(s)
	if err != nil {
		return PID{}, fmt.Errorf("parse pid %.60q: %w", s, err)
	}
	return PID(id), nil
}

// parseDigest parses the only base32 text of a digest of 32 bytes.
func parseDigest(s string) (digest [32]byte, err error) {
	if len(s) != PIDLen {
		return digest, errBase32
	}
	b, err := base32Lower.DecodeString(s)
	// 52 characters carry 4 bits more than 32 bytes. These must be zero, or two texts would identify one PID.
	if err != nil || base32Lower.EncodeToString(b) != s {
		return digest, errBase32
	}
	return [32]byte(b), nil
}

// String returns the text form of id.
func (id PID) String() string { return base32Lower.EncodeToString(id[:]) }

// Short returns the first 10 characters of id, for display.
func (id PID) Short() string { return id.String()[:10] }

// IsZero reports whether id is the zero PID.
func (id PID) IsZero() bool { return id == PID{} }

// MarshalText implements encoding.TextMarshaler.
func (id PID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *PID) UnmarshalText(b []byte) (err error) {
	*id, err = ParsePID(string(b))
	return err
}
