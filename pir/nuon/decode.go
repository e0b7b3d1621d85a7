package nuon

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Decode returns the value whose canonical text is text.
// An error wraps ErrNotCanonical and names the offending byte.
func Decode(text []byte) (any, error) {
	d := &decoder{text: text}
	v, err := d.value(0)
	if err == nil && d.pos != len(text) {
		err = errors.New("trailing bytes")
	}
	if err != nil {
		return nil, fmt.Errorf("%w at byte %d: %v", ErrNotCanonical, d.pos, err)
	}
	return v, nil
}

// DecodeRecord decodes a text that must be a record.
func DecodeRecord(text []byte) (Record, error) {
	v, err := Decode(text)
	if err != nil {
		return nil, err
	}
	rec, ok := v.(Record)
	if !ok {
		return nil, fmt.Errorf("%w: not a record", ErrNotCanonical)
	}
	return rec, nil
}

type decoder struct {
	text []byte
	pos  int
}

func (d *decoder) eat(token string) bool {
	if bytes.HasPrefix(d.text[d.pos:], []byte(token)) {
		d.pos += len(token)
		return true
	}
	return false
}

func (d *decoder) value(depth int) (any, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("nested deeper than %d", MaxDepth)
	}
	if d.pos >= len(d.text) {
		return nil, errors.New("unexpected end")
	}
	switch c := d.text[d.pos]; {
	case c == '"':
		return d.str()
	case d.eat("null"):
		return nil, nil
	case d.eat("true"):
		return true, nil
	case d.eat("false"):
		return false, nil
	case d.eat("0x["):
		return d.binary()
	case c == '-' || c >= '0' && c <= '9':
		return d.number()
	case d.eat("["):
		return d.list(depth)
	case d.eat("{"):
		return d.record(depth)
	}
	return nil, fmt.Errorf("unexpected byte %q", d.text[d.pos])
}

func (d *decoder) binary() (any, error) {
	n := bytes.IndexByte(d.text[d.pos:], ']')
	if n < 0 || n%2 != 0 {
		return nil, errors.New("bad binary")
	}
	out := make(Binary, n/2)
	for i := range out {
		high, low := hexDigit(d.text[d.pos+2*i]), hexDigit(d.text[d.pos+2*i+1])
		if high < 0 || low < 0 {
			return nil, errors.New("bad binary")
		}
		out[i] = byte(high<<4 | low)
	}
	d.pos += n + 1
	return out, nil
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func (d *decoder) number() (any, error) {
	end := d.pos + 1
	for end < len(d.text) && d.text[end] >= '0' && d.text[end] <= '9' {
		end++
	}
	digits := string(d.text[d.pos:end])
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != digits {
		return nil, errors.New("bad integer")
	}
	rest := d.text[end:]
	isTime, isSize := bytes.HasPrefix(rest, []byte("ns")), bytes.HasPrefix(rest, []byte("b"))
	if (isTime || isSize) && (n > maxUnit || n < -maxUnit) {
		return nil, errors.New("number with a unit out of range (2^53)")
	}
	d.pos = end
	switch {
	case isTime:
		d.pos += len("ns")
		return Duration(n), nil
	case isSize:
		d.pos += len("b")
		return Filesize(n), nil
	}
	return n, nil
}

func (d *decoder) list(depth int) (any, error) {
	list := List{}
	for !d.eat("]") {
		if len(list) > 0 && !d.eat(",") {
			return nil, errors.New("want , or ]")
		}
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func (d *decoder) record(depth int) (any, error) {
	rec, last := Record{}, ""
	for !d.eat("}") {
		if len(rec) > 0 && !d.eat(",") {
			return nil, errors.New("want , or }")
		}
		key, err := d.str()
		if err != nil {
			return nil, err
		}
		if len(rec) > 0 && key <= last {
			return nil, fmt.Errorf("key %q not sorted or repeated", key)
		}
		if !d.eat(":") {
			return nil, errors.New("want :")
		}
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if v == nil {
			return nil, fmt.Errorf("field %q is null; it must be absent", key)
		}
		rec[key], last = v, key
	}
	return rec, nil
}

func (d *decoder) str() (string, error) {
	if !d.eat(`"`) {
		return "", errors.New(`want "`)
	}
	var s []byte
	for d.pos < len(d.text) {
		c := d.text[d.pos]
		d.pos++
		switch c {
		case '"':
			if !utf8.Valid(s) {
				return "", errors.New("string is not UTF-8")
			}
			return string(s), nil
		case '\\':
			if d.pos >= len(d.text) || d.text[d.pos] != '"' && d.text[d.pos] != '\\' {
				return "", errors.New("bad escape")
			}
			c = d.text[d.pos]
			d.pos++
		}
		s = append(s, c)
	}
	return "", errors.New("unterminated string")
}
