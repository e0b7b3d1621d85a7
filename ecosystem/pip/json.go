package pip

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/MordragT/nuka/internal/rawjson"
)

// texts reads a record of strings. No text, and null, is nil.
func texts(raw json.RawMessage) (out map[string]string, err error) {
	if raw == nil || string(raw) == "null" {
		return nil, nil
	}
	out = map[string]string{}
	return out, rawjson.Object(raw, func(key string, value []byte) (err error) {
		out[key], err = rawjson.Text(value)
		return err
	})
}

// members returns the members of an object, which are parts of its text.
func members(text []byte) (map[string]json.RawMessage, error) {
	out := make(map[string]json.RawMessage, 12)
	return out, rawjson.Object(text, func(key string, value []byte) error {
		out[key] = value
		return nil
	})
}

// writeRecord writes a record with sorted fields, and its values as they are.
func writeRecord(b *bytes.Buffer, rec map[string]json.RawMessage) error {
	b.WriteByte('{')
	first := true
	for _, name := range sortedKeys(rec) {
		if !first {
			b.WriteByte(',')
		}
		first = false
		key, err := json.Marshal(name)
		if err != nil {
			return err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(rec[name])
	}
	b.WriteByte('}')
	return nil
}

func only(rec map[string]json.RawMessage, names []string) {
	for name := range rec {
		if !slices.Contains(names, name) {
			delete(rec, name)
		}
	}
}
