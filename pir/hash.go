package pir

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// A HashAlgorithm is a hash function and the bytes that it is computed over.
type HashAlgorithm string

// The hash algorithms of fixed outputs.
const (
	// B3 is BLAKE3 over the fetched tree itself: the digest of its CID.
	B3 HashAlgorithm = "b3"
	// SHA256 and SHA512 are an upstream's digest of the archive as it is downloaded.
	SHA256 HashAlgorithm = "sha256"
	SHA512 HashAlgorithm = "sha512"
	// H1 is the Go checksum database's hash of a module (golang.org/x/mod/sumdb/dirhash).
	H1 HashAlgorithm = "h1"
)

var digestSize = map[HashAlgorithm]int{B3: 32, SHA256: 32, SHA512: 64, H1: 32}

// A Hash fixes the output of a fetch.
// Hashes are comparable. The zero Hash fixes nothing.
type Hash struct {
	Algorithm HashAlgorithm
	digest    string
}

// NewHash returns the Hash with the given digest.
// It panics if the digest has the wrong size for the algorithm.
func NewHash(a HashAlgorithm, digest []byte) Hash {
	if len(digest) != digestSize[a] {
		panic(fmt.Sprintf("pir: %s digest of %d bytes", a, len(digest)))
	}
	return Hash{a, string(digest)}
}

// ParseHash reads a hash in the forms that package files, registries and lock files use:
// b3-<base32>, sha256-<hex>, sha256:<hex>, sha256-<base64> (Subresource Integrity), sha512-…, h1:<base64>.
func ParseHash(s string) (Hash, error) {
	algorithm, text, ok := strings.Cut(s, "-")
	if !ok || strings.Contains(algorithm, ":") {
		algorithm, text, ok = strings.Cut(s, ":")
	}
	a := HashAlgorithm(algorithm)
	size := digestSize[a]
	if !ok || size == 0 {
		return Hash{}, fmt.Errorf("parse hash %.100q: want b3-…, sha256-…, sha512-… or h1:…", s)
	}
	var digest []byte
	var err error
	switch {
	case a == B3:
		var d [32]byte
		d, err = parseDigest(text)
		digest = d[:]
	case a != H1 && len(text) == 2*size:
		digest, err = hex.DecodeString(strings.ToLower(text))
	default:
		digest, err = base64.StdEncoding.Strict().DecodeString(text)
	}
	if err == nil && len(digest) != size {
		err = fmt.Errorf("digest has %d bytes, want %d", len(digest), size)
	}
	if err != nil {
		return Hash{}, fmt.Errorf("parse hash %.100q: %v", s, err)
	}
	return Hash{a, string(digest)}, nil
}

// String returns the canonical text: b3-<base32>, sha256-<hex>, sha512-<hex> or h1:<base64>.
func (h Hash) String() string {
	switch h.Algorithm {
	case "":
		return ""
	case B3:
		return "b3-" + base32Lower.EncodeToString([]byte(h.digest))
	case H1:
		return "h1:" + base64.StdEncoding.EncodeToString([]byte(h.digest))
	}
	return string(h.Algorithm) + "-" + hex.EncodeToString([]byte(h.digest))
}

// Digest returns a copy of the digest's bytes.
func (h Hash) Digest() []byte { return []byte(h.digest) }

// IsZero reports whether h fixes nothing.
func (h Hash) IsZero() bool { return h == Hash{} }
