package npm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/MordragT/nuka/internal/rawjson"
)

// An object is a JSON object with its members in order.
type object []member

type member struct {
	key   string
	value json.RawMessage
}

// UnmarshalJSON refuses an object that has a key twice: clients would choose one, and not all the same.
func (o *object) UnmarshalJSON(b []byte) error {
	return o.read(b)
}

// read reads the text of an object, which is valid JSON.
func (o *object) read(text []byte) error {
	seen := map[string]bool{}
	err := rawjson.Object(text, func(key string, value []byte) error {
		if seen[key] {
			return fmt.Errorf("it has %.100q twice", key)
		}
		seen[key] = true
		*o = append(*o, member{key, value})
		return nil
	})
	if err != nil && len(seen) == 0 {
		return fmt.Errorf("want an object, got %.20q", text)
	}
	return err
}

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		key, err := encode(m.key)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, key...), ':'), m.value...)
	}
	return append(b, '}'), nil
}

// encode is json.Marshal that leaves <, > and & as they are: people read recordings. Objects are not read again, which json.Marshal does.
func encode(v any) ([]byte, error) {
	if o, ok := v.(object); ok {
		return o.MarshalJSON()
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func (o object) get(key string) json.RawMessage {
	for _, m := range o {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

// text returns a member that is a string, or "".
func (o object) text(key string) string {
	raw := o.get(key)
	if raw == nil {
		return ""
	}
	s, _ := rawjson.Text(raw) // another type counts as none
	return s
}

// set changes a member, adds it, or removes it if value is nil.
func (o *object) set(key string, value any) {
	*o = slices.DeleteFunc(*o, func(m member) bool { return m.key == key && value == nil })
	if value == nil {
		return
	}
	raw, err := encode(value)
	if err != nil {
		panic(err) // strings, objects and lists of them
	}
	for i := range *o {
		if (*o)[i].key == key {
			(*o)[i].value = raw
			return
		}
	}
	*o = append(*o, member{key, raw})
}

// keep removes the members that are not named.
func (o *object) keep(names ...string) {
	*o = slices.DeleteFunc(*o, func(m member) bool { return !slices.Contains(names, m.key) })
}

// add adds a member that is not there yet.
func (o *object) add(key string, value object) {
	raw, err := value.MarshalJSON()
	if err != nil {
		panic(err) // keys are strings
	}
	*o = append(*o, member{key, raw})
}
