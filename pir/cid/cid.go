package cid

import (
	"encoding/base32"
	"errors"
	"fmt"

	"github.com/zeebo/blake3"
)

// The codecs of a block, as registered with multiformats.
const (
	Raw   uint64 = 0x55
	DagPB uint64 = 0x70
)

// Size is the length of a CID in its binary form.
const Size = 36

const (
	version    = 0x01
	hashBlake3 = 0x1e
	digestSize = 32
)

// ErrSyntax is wrapped by the errors of Parse and FromBytes.
var ErrSyntax = errors.New("not a content id of this kind")

// encoding is base32 as multibase names it "b": RFC 4648, lower case, no padding.
var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// A CID identifies a block by its codec and the BLAKE3-256 digest of its bytes.
// It is comparable, and its zero value is no CID at all.
type CID struct {
	codec  uint8
	digest [digestSize]byte
}

// New returns the CID with the given codec and digest.
// It returns an error if codec is neither Raw nor DagPB.
func New(codec uint64, digest [32]byte) (CID, error) {
	if codec != Raw && codec != DagPB {
		return CID{}, fmt.Errorf("codec 0x%x: %w", codec, ErrSyntax)
	}
	return CID{codec: uint8(codec), digest: digest}, nil
}

// Sum returns the CID of a block.
// It panics if codec is neither Raw nor DagPB.
func Sum(codec uint64, block []byte) CID {
	c, err := New(codec, blake3.Sum256(block))
	if err != nil {
		panic("cid: sum with an unknown codec")
	}
	return c
}

// Parse reads the text form that String writes, and no other form.
func Parse(s string) (CID, error) {
	if len(s) == 0 || s[0] != 'b' {
		return CID{}, fmt.Errorf("parse cid %q: %w: it must start with b", clip(s), ErrSyntax)
	}
	if len(s) != 1+encoding.EncodedLen(Size) {
		return CID{}, fmt.Errorf("parse cid %q: %w: it has %d characters, not %d", clip(s), ErrSyntax, len(s), 1+encoding.EncodedLen(Size))
	}
	b, err := encoding.DecodeString(s[1:])
	if err != nil {
		return CID{}, fmt.Errorf("parse cid %q: %w: %v", s, ErrSyntax, err)
	}
	c, err := FromBytes(b)
	if err != nil {
		return CID{}, fmt.Errorf("parse cid %q: %w", s, err)
	}
	if c.String() != s { // the unused bits of the last character were not zero
		return CID{}, fmt.Errorf("parse cid %q: %w: the last character is not canonical", s, ErrSyntax)
	}
	return c, nil
}

// FromBytes reads the binary form that Bytes writes, and no other form.
func FromBytes(b []byte) (CID, error) {
	if len(b) != Size {
		return CID{}, fmt.Errorf("cid of %d bytes: %w: it must have %d", len(b), ErrSyntax, Size)
	}
	if b[0] != version || b[2] != hashBlake3 || b[3] != digestSize {
		return CID{}, fmt.Errorf("cid %x: %w: only version 1 with blake3-256 is used", b[:4], ErrSyntax)
	}
	return New(uint64(b[1]), [32]byte(b[4:]))
}

// String returns the text form: multibase base32, 59 characters. For the zero CID it returns "".
func (c CID) String() string {
	if c.IsZero() {
		return ""
	}
	return "b" + encoding.EncodeToString(c.Bytes())
}

// Bytes returns the binary form in a new slice. For the zero CID it returns nil.
func (c CID) Bytes() []byte {
	if c.IsZero() {
		return nil
	}
	return c.append(make([]byte, 0, Size))
}

func (c CID) append(b []byte) []byte {
	b = append(b, version, c.codec, hashBlake3, digestSize)
	return append(b, c.digest[:]...)
}

// IsZero reports whether c is the zero CID.
func (c CID) IsZero() bool { return c.codec == 0 }

// Codec returns Raw or DagPB, and 0 for the zero CID.
func (c CID) Codec() uint64 { return uint64(c.codec) }

// Digest returns the BLAKE3-256 digest of the block.
func (c CID) Digest() [32]byte { return c.digest }

// MarshalText returns the text form.
func (c CID) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the text form. Empty text gives the zero CID.
func (c *CID) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*c = CID{}
		return nil
	}
	d, err := Parse(string(b))
	if err != nil {
		return err
	}
	*c = d
	return nil
}

// clip shortens untrusted text that an error message quotes.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// A Block is a CID and the bytes that it names.
type Block struct {
	CID  CID
	Data []byte
}
