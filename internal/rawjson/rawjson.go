// Package rawjson divides JSON text into its parts and leaves them as they are. Indexes of registries have megabytes, of which a reader needs some fields:
// encoding/json reads each byte again for each level of raw messages.
package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

var errCutOff = errors.New("the JSON text is cut off")

// Object calls f with each member of an object, in order and also if a key is there twice. The text must be valid JSON (json.Valid): of other text Object finds some faults
// only. Values are parts of text. An error of f ends it and is returned.
func Object(text []byte, f func(key string, value []byte) error) error {
	return each(text, '{', '}', "want an object", func(part []byte) ([]byte, error) {
		end, err := value(part)
		if err != nil {
			return nil, err
		}
		key, err := Text(part[:end])
		if err != nil || part[0] != '"' {
			return nil, errors.New("a key of a JSON object is no text")
		}
		rest, ok := bytes.CutPrefix(blank(part[end:]), []byte{':'})
		if !ok {
			return nil, errCutOff
		}
		rest = blank(rest)
		if end, err = value(rest); err != nil {
			return nil, err
		}
		return rest[end:], f(key, rest[:end:end])
	})
}

// Array is Object for the elements of an array.
func Array(text []byte, f func(value []byte) error) error {
	return each(text, '[', ']', "want an array", func(part []byte) ([]byte, error) {
		end, err := value(part)
		if err != nil {
			return nil, err
		}
		return part[end:], f(part[:end:end])
	})
}

// each calls next with the text at each element, which returns what is behind that.
func each(text []byte, open, end byte, want string, next func([]byte) ([]byte, error)) error {
	text = blank(text)
	if len(text) == 0 || text[0] != open {
		return errors.New(want)
	}
	for text = blank(text[1:]); len(text) > 0 && text[0] != end; {
		rest, err := next(text)
		if err != nil {
			return err
		}
		if text = blank(rest); len(text) > 0 && text[0] == ',' {
			text = blank(text[1:])
		}
	}
	if len(text) == 0 {
		return errCutOff
	}
	return nil
}

func blank(text []byte) []byte {
	for len(text) > 0 && (text[0] == ' ' || text[0] == '\n' || text[0] == '\t' || text[0] == '\r') {
		text = text[1:]
	}
	return text
}

// value returns the length of the value at the beginning of a text.
func value(text []byte) (int, error) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			n := quoted(text[i:])
			if n < 0 {
				return 0, errCutOff
			}
			i += n - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth--; depth < 0 {
				return i, notEmpty(i)
			}
		case ',', ':', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i, notEmpty(i)
			}
			continue
		default: // of a number, or of a word
			if depth == 0 && i+1 < len(text) {
				continue
			}
		}
		if depth == 0 {
			return i + 1, nil
		}
	}
	return 0, errCutOff
}

func notEmpty(n int) error {
	if n == 0 {
		return errors.New("a JSON value is missing")
	}
	return nil
}

// quoted returns the length of the string at the beginning of a text, or -1.
func quoted(text []byte) int {
	for at := 1; ; {
		n := bytes.IndexByte(text[at:], '"')
		if n < 0 {
			return -1
		}
		at += n + 1
		escapes := 0
		for text[at-2-escapes] == '\\' { // ends at the opening quote
			escapes++
		}
		if escapes%2 == 0 {
			return at
		}
	}
}

// Text returns the text of a value that is a string; null is "", as encoding/json has it.
func Text(value []byte) (string, error) {
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		if inside := value[1 : n-1]; bytes.IndexByte(inside, '\\') < 0 && utf8.Valid(inside) {
			return string(inside), nil
		}
	}
	var s string
	err := json.Unmarshal(value, &s)
	return s, err
}
