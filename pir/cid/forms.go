package cid

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// ErrForeign is wrapped by errors about CIDs that are well formed but have a hash, codec or version that this package does not support.
var ErrForeign = errors.New("no content id of BLAKE3")

// maxForm bounds the characters that ParseForm reads.
const maxForm = 512

const base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// ParseForm reads a CID in any form that is usual in IPFS: multibase base 16, 32, 36, 58 or 64, version 0,
// a path that begins with /ipfs/, or an ipfs:// address. Rest is the path after the CID. For a CID that this package does not support
// the error wraps ErrForeign, for any other text ErrSyntax.
func ParseForm(s string) (c CID, rest string, err error) {
	syntax := func(why string) (CID, string, error) {
		return CID{}, "", fmt.Errorf("parse cid %q: %w: %s", clip(s), ErrSyntax, why)
	}
	if len(s) > maxForm {
		return syntax("it is too long")
	}
	text := s
	for _, before := range []string{"ipfs://", "dweb:", "/ipfs/", "ipfs/"} {
		text = strings.TrimPrefix(text, before)
	}
	if strings.HasPrefix(text, "m") { // a slash is a digit of base 64, so no path can follow
		text = strings.TrimSuffix(text, "/")
	} else {
		text, rest, _ = strings.Cut(text, "/")
	}
	if len(text) == 46 && strings.HasPrefix(text, "Qm") {
		if _, err := decodeDigits(text, base58); err != nil {
			return syntax(err.Error())
		}
		return CID{}, "", fmt.Errorf("%s: %w: it is of version 0, whose hash is SHA-256", text, ErrForeign)
	}
	b, err := decodeBase(text)
	if err != nil {
		return syntax(err.Error())
	}
	if c, err := FromBytes(b); err == nil {
		return c, rest, nil
	}
	v, n := binary.Uvarint(b)
	if n <= 0 || v != version {
		return syntax("it is of no version that there is")
	}
	codec, m := binary.Uvarint(b[n:])
	if m <= 0 {
		return syntax("it has no codec")
	}
	hash, k := binary.Uvarint(b[n+m:])
	if k <= 0 {
		return syntax("it has no hash")
	}
	size, l := binary.Uvarint(b[n+m+k:])
	if l <= 0 || size != uint64(len(b)-n-m-k-l) {
		return syntax("a part of it is missing")
	}
	what := fmt.Sprintf("its hash is number 0x%x", hash)
	switch {
	case hash == 0x12:
		what = "its hash is SHA-256"
	case hash == hashBlake3 && size == digestSize:
		what = fmt.Sprintf("its codec is number 0x%x, want raw or dag-pb", codec)
	}
	return CID{}, "", fmt.Errorf("%s: %w: %s", clip(text), ErrForeign, what)
}

// decodeBase decodes a multibase text.
func decodeBase(s string) ([]byte, error) {
	if len(s) < 2 {
		return nil, errors.New("it is too short")
	}
	text := s[1:]
	switch s[0] {
	case 'b':
		return encoding.DecodeString(text)
	case 'B':
		return base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
	case 'v':
		return base32.HexEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(text))
	case 'f', 'F':
		return hex.DecodeString(text)
	case 'm':
		return base64.RawStdEncoding.DecodeString(text)
	case 'u':
		return base64.RawURLEncoding.DecodeString(text)
	case 'k':
		return decodeDigits(text, "0123456789abcdefghijklmnopqrstuvwxyz")
	case 'K':
		return decodeDigits(strings.ToLower(text), "0123456789abcdefghijklmnopqrstuvwxyz")
	case 'z':
		return decodeDigits(text, base58)
	}
	return nil, fmt.Errorf("no base begins with %q", s[:1])
}

// decodeDigits decodes a number in the given digits. Each leading zero digit is a zero byte.
func decodeDigits(s, digits string) ([]byte, error) {
	n, base, zeros := new(big.Int), big.NewInt(int64(len(digits))), 0
	for i := range len(s) {
		d := strings.IndexByte(digits, s[i])
		if d < 0 {
			return nil, fmt.Errorf("%q is not a digit of its base", s[i])
		}
		if d == 0 && i == zeros {
			zeros++
		}
		n.Add(n.Mul(n, base), big.NewInt(int64(d)))
	}
	return append(make([]byte, zeros), n.Bytes()...), nil
}
