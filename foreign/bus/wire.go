package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// An order is the byte order of one message.
type order interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

var littleEndian order = binary.LittleEndian

const (
	maxDepth     = 64       // containers inside each other, as in the specification
	maxSignature = 255      // bytes of a signature
	maxArray     = 64 << 20 // bytes of an array
)

var errTruncated = errors.New("the message ends inside a value")

// A cursor reads values in the wire format, one after the other. Its first byte stands at a multiple of eight in the message.
type cursor struct {
	b     []byte
	at    int
	order order
}

// align moves to the next multiple of n. Padding is zero.
func (c *cursor) align(n int) error {
	for c.at%n != 0 {
		if c.at >= len(c.b) {
			return errTruncated
		}
		if c.b[c.at] != 0 {
			return errors.New("padding is not zero")
		}
		c.at++
	}
	return nil
}

// take returns the next n bytes, which stand at a multiple of n if aligned.
func (c *cursor) take(n int) ([]byte, error) {
	if n < 0 || n > len(c.b)-c.at {
		return nil, errTruncated
	}
	c.at += n
	return c.b[c.at-n : c.at], nil
}

func (c *cursor) byte() (byte, error) {
	b, err := c.take(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

func (c *cursor) uint32() (uint32, error) {
	if err := c.align(4); err != nil {
		return 0, err
	}
	b, err := c.take(4)
	if err != nil {
		return 0, err
	}
	return c.order.Uint32(b), nil
}

// text reads n bytes and the zero byte after them.
func (c *cursor) text(n int) (string, error) {
	b, err := c.take(n)
	if err != nil {
		return "", err
	}
	end, err := c.byte()
	if err != nil {
		return "", err
	}
	if s := string(b); end == 0 && !strings.Contains(s, "\x00") && utf8.ValidString(s) {
		return s, nil
	}
	return "", errors.New("a string is not UTF-8 that ends with its only zero byte")
}

func (c *cursor) string() (string, error) {
	n, err := c.uint32()
	if err != nil {
		return "", err
	}
	if int64(n) > int64(len(c.b)) {
		return "", errTruncated
	}
	return c.text(int(n))
}

func (c *cursor) signature() (string, error) {
	n, err := c.byte()
	if err != nil {
		return "", err
	}
	return c.text(int(n))
}

// strings reads an array of strings.
func (c *cursor) strings() ([]string, error) {
	n, err := c.uint32()
	if err != nil {
		return nil, err
	}
	end := c.at + int(n)
	if int64(n) > maxArray || end > len(c.b) {
		return nil, errTruncated
	}
	var all []string
	for c.at < end {
		s, err := c.string()
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	if c.at != end {
		return nil, errTruncated
	}
	return all, nil
}

// sizes has the alignment of each basic type, which is also its size, except for strings and signatures.
var sizes = map[byte]int{'y': 1, 'b': 4, 'n': 2, 'q': 2, 'i': 4, 'u': 4, 'h': 4, 'x': 8, 't': 8, 'd': 8, 's': 4, 'o': 4, 'g': 1}

func alignment(kind byte) int {
	switch kind {
	case 'a':
		return 4
	case '(', '{':
		return 8
	case 'v':
		return 1
	}
	return sizes[kind]
}

// firstType divides a signature into its first complete type and the rest.
func firstType(sig string, depth int) (first, rest string, err error) {
	if sig == "" || depth > maxDepth || len(sig) > maxSignature {
		return "", "", errors.New("a signature is incomplete or too long")
	}
	rest = sig[1:]
	switch kind := sig[0]; {
	case kind == 'v' || sizes[kind] != 0:
	case kind == 'a' && strings.HasPrefix(rest, "{"):
		rest = rest[1:]
		if rest == "" || sizes[rest[0]] == 0 {
			return "", "", errors.New("the key of a dictionary is of no basic type")
		}
		if _, rest, err = firstType(rest[1:], depth+1); err != nil {
			return "", "", err
		}
		if !strings.HasPrefix(rest, "}") {
			return "", "", errors.New("an entry of a dictionary has no end")
		}
		rest = rest[1:]
	case kind == 'a':
		if _, rest, err = firstType(rest, depth+1); err != nil {
			return "", "", err
		}
	case kind == '(':
		for n := 0; n == 0 || !strings.HasPrefix(rest, ")"); n++ {
			if _, rest, err = firstType(rest, depth+1); err != nil {
				return "", "", err
			}
		}
		rest = rest[1:]
	default:
		return "", "", fmt.Errorf("no type has the letter %q", kind)
	}
	return sig[:len(sig)-len(rest)], rest, nil
}

// skip moves past one value of a complete type. Depth is the number of containers around it.
func (c *cursor) skip(sig string, depth int) error {
	if depth > maxDepth {
		return errors.New("too many containers inside each other")
	}
	if err := c.align(alignment(sig[0])); err != nil {
		return err
	}
	switch sig[0] {
	case 's', 'o':
		_, err := c.string()
		return err
	case 'g':
		_, err := c.signature()
		return err
	case 'v':
		inner, err := c.variant()
		if err != nil {
			return err
		}
		return c.skip(inner, depth+1)
	case 'a':
		n, err := c.uint32()
		if err != nil {
			return err
		}
		if err := c.align(alignment(sig[1])); err != nil {
			return err
		}
		end := c.at + int(n)
		if int64(n) > maxArray || end > len(c.b) {
			return errTruncated
		}
		for c.at < end {
			if err := c.skip(sig[1:], depth+1); err != nil {
				return err
			}
		}
		if c.at != end {
			return errTruncated
		}
		return nil
	case '(', '{':
		for members := sig[1 : len(sig)-1]; members != ""; {
			first, rest, err := firstType(members, depth+1)
			if err != nil {
				return err
			}
			if err := c.skip(first, depth+1); err != nil {
				return err
			}
			members = rest
		}
		return nil
	}
	_, err := c.take(sizes[sig[0]])
	return err
}

// variant reads the signature of a variant, which is one complete type.
func (c *cursor) variant() (string, error) {
	sig, err := c.signature()
	if err != nil {
		return "", err
	}
	if _, rest, err := firstType(sig, 0); err != nil {
		return "", err
	} else if rest != "" {
		return "", errors.New("a variant has more than one type")
	}
	return sig, nil
}

// pad appends zero bytes up to a multiple of n.
func pad(b []byte, n int) []byte {
	for len(b)%n != 0 {
		b = append(b, 0)
	}
	return b
}

func appendString(b []byte, o order, s string) []byte {
	b = o.AppendUint32(pad(b, 4), uint32(len(s)))
	return append(append(b, s...), 0)
}

func appendSignature(b []byte, s string) []byte {
	return append(append(append(b, byte(len(s))), s...), 0)
}

// appendStrings appends an array of strings to a body.
func appendStrings(b []byte, o order, all []string) []byte {
	b = pad(b, 4)
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	for _, s := range all {
		b = appendString(b, o, s)
	}
	o.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}
