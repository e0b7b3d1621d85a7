package ownlist

import (
	"bytes"
	"fmt"
	"time"

	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

// A Form describes the things of a list. All fields but Keep must be set.
type Form[T any] struct {
	What   string // the things, as errors name them: "package sets"
	Again  string // what the user does when the list is lost, as a hint
	Field  string // of the list's file, which is Field.nuon; its value there is Version
	Most   int    // things in a list
	Bytes  int64  // of the list's file
	Record func(*T) nuon.Record
	From   func(nuon.Record) (T, error)
	// Check returns an error about the first wrong field of a thing.
	Check func(*T) error
	// Name returns the name of a thing, which is the name of its folder.
	Name func(*T) string
	// Used returns the names in a thing's folder that are in use.
	Used func(*T) []string
	// Unknown returns the error for a name that nothing has.
	Unknown func(name string, list []T) error
	// Keep is how long something that went out of use stays, because a reader may have it open.
	Keep time.Duration
}

// Version is the version of the form of all lists.
const Version = 1

// Encode returns the text of a list.
func (f *Form[T]) Encode(list []T) ([]byte, error) {
	if len(list) > f.Most {
		return nil, fmt.Errorf("%d %s are more than %d", len(list), f.What, f.Most)
	}
	seen := map[string]bool{}
	out := make(nuon.List, len(list))
	for i := range list {
		if err := f.Check(&list[i]); err != nil {
			return nil, err
		}
		name := f.Name(&list[i])
		if seen[name] {
			return nil, fmt.Errorf("two %s have the name %s", f.What, name)
		}
		seen[name] = true
		out[i] = f.Record(&list[i])
	}
	b, err := nuon.Encode(nuon.Record{f.Field: int64(Version), "list": out})
	return append(b, '\n'), err
}

// Decode reads the text of a list. It accepts only what Encode writes. If a newer program wrote it, the error has the code Unsupported.
func (f *Form[T]) Decode(text []byte) ([]T, error) {
	body, ok := bytes.CutSuffix(text, []byte("\n"))
	if !ok {
		return nil, fmt.Errorf("it does not end with a line feed")
	}
	rec, err := nuon.DecodeRecord(body)
	if err != nil {
		return nil, err
	}
	if rec[f.Field] != int64(Version) {
		return nil, protocol.Errorf(protocol.Unsupported, "its form is %v, this program knows %d", rec[f.Field], Version)
	}
	entries, _ := rec["list"].(nuon.List)
	list := make([]T, len(entries))
	for i, v := range entries {
		one, _ := v.(nuon.Record)
		if list[i], err = f.From(one); err != nil {
			return nil, err
		}
	}
	again, err := f.Encode(list)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, text) {
		return nil, fmt.Errorf("a field is unknown or wrong")
	}
	return list, nil
}
