// Package nuon is the strict codec of canonical NUON, Nushell's object notation.
//
// Every value has exactly one canonical text, and Decode accepts only that text.
// So bytes can be hashed as received, and no other bytes decode to the same value.
// Every canonical text is also valid input for Nushell's own `from nuon`.
//
// The form: UTF-8, no white space, "," between items;
// records with all keys quoted, sorted by bytes, unique, null fields absent;
// lists as […], never tables; strings "…" with only \\ and \" escaped;
// integers as decimal i64; true and false; binary as 0x[…] in upper case;
// durations <n>ns and file sizes <n>b with |n| < 2^53, because Nushell reads numbers with units through a float.
// Floats, dates, ranges and globs have no canonical form.
package nuon

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// The Go types of canonical values:
// nil, bool, int64, string, Binary, Duration, Filesize, List and Record.
type (
	// Binary is a byte string.
	Binary []byte
	// Duration is a length of time in nanoseconds.
	Duration int64
	// Filesize is a count of bytes.
	Filesize int64
	// List is an ordered sequence of values.
	List []any
	// Record maps field names to values; a field whose value is nil is absent.
	Record map[string]any
)

const (
	// MaxDepth bounds how deep lists and records may be nested.
	MaxDepth = 100
	// maxUnit bounds durations and file sizes.
	maxUnit = 1<<53 - 1
)

// ErrNotCanonical is wrapped by errors about bytes that are not the canonical text of any value.
var ErrNotCanonical = errors.New("not canonical NUON")

// Encode returns the canonical text of v.
// It accepts the types above and, for convenience, int, []any, []string, map[string]any and map[string]string.
func Encode(v any) ([]byte, error) { return appendValue(nil, v, 0) }

// Append appends the canonical text of v to b.
func Append(b []byte, v any) ([]byte, error) { return appendValue(b, v, 0) }

func appendValue(b []byte, v any, depth int) ([]byte, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("encode: value nested deeper than %d", MaxDepth)
	}
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case Duration:
		return appendUnit(b, int64(v), "ns")
	case Filesize:
		return appendUnit(b, int64(v), "b")
	case Binary:
		return append(fmt.Appendf(b, "0x[%X", []byte(v)), ']'), nil
	case string:
		return appendString(b, v)
	case List:
		return appendList(b, v, depth)
	case []any:
		return appendList(b, v, depth)
	case []string:
		return appendList(b, v, depth)
	case Record:
		return appendRecord(b, v, depth)
	case map[string]any:
		return appendRecord(b, v, depth)
	case map[string]string:
		return appendRecord(b, v, depth)
	}
	return nil, fmt.Errorf("encode: a %T has no canonical form", v)
}

func appendUnit(b []byte, n int64, unit string) ([]byte, error) {
	if n > maxUnit || n < -maxUnit {
		return nil, fmt.Errorf("encode: %d%s is out of range (2^53)", n, unit)
	}
	return append(strconv.AppendInt(b, n, 10), unit...), nil
}

func appendList[T any](b []byte, list []T, depth int) ([]byte, error) {
	var err error
	b = append(b, '[')
	for i, x := range list {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendValue(b, x, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func appendRecord[T any](b []byte, rec map[string]T, depth int) ([]byte, error) {
	keys := make([]string, 0, len(rec))
	for k, x := range rec {
		if any(x) != nil { // a null field is an absent field
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendString(b, k); err != nil {
			return nil, err
		}
		b = append(b, ':')
		if b, err = appendValue(b, rec[k], depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendString(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, fmt.Errorf("encode: string %.40q is not UTF-8", s)
	}
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"'), nil
}
