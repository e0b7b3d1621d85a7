package source

import (
	"fmt"
	"strings"

	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/source/kind"
)

// An OriginKind is the name of one of Kinds. It determines the meaning of an Origin's fields.
type OriginKind string

// An Origin names a place from which bytes can be fetched.
type Origin struct {
	Kind    OriginKind
	URL     string
	Name    string // of a package in its registry
	Version string
	// Flags are the other fields of its kind, such as rev of git. A field without a value is missing, not empty.
	Flags kind.Fields
}

// fields returns the fields of o that are set.
func (o Origin) fields() kind.Fields {
	all := kind.Fields{"url": o.URL, "name": o.Name, "version": o.Version}
	for name, text := range o.Flags {
		all[name] = text
	}
	for name, text := range all {
		if text == "" {
			delete(all, name)
		}
	}
	return all
}

// ParseOrigin reads an origin from its canonical NUON.
func ParseOrigin(canonical []byte) (Origin, error) {
	rec, err := nuon.DecodeRecord(canonical)
	if err != nil {
		return Origin{}, fmt.Errorf("parse origin: %w", err)
	}
	var o Origin
	for name, v := range rec {
		text, isText := v.(string)
		if !isText {
			return Origin{}, fmt.Errorf("parse origin: field %q is not a string", name)
		}
		switch name {
		case "kind":
			o.Kind = OriginKind(text)
		case "url":
			o.URL = text
		case "name":
			o.Name = text
		case "version":
			o.Version = text
		default:
			if o.Flags == nil {
				o.Flags = kind.Fields{}
			}
			o.Flags[name] = text
		}
	}
	return o, o.check()
}

// Encode returns the canonical NUON of o.
func (o Origin) Encode() ([]byte, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	rec := nuon.Record{"kind": string(o.Kind)}
	for name, text := range o.fields() {
		rec[name] = text
	}
	return nuon.Encode(rec)
}

func (o Origin) check() error {
	k := o.Kind.find()
	if k == nil {
		return fmt.Errorf("origin: kind %q is unknown", o.Kind)
	}
	if err := k.Kind.Check(o.fields()); err != nil {
		return err
	}
	if k.Check != nil {
		return k.Check(o)
	}
	return checkRelease(o, false)
}

// checkRelease returns an error about a wrong name or version of a package in a registry; slash allows slashes in names.
func checkRelease(o Origin, slash bool) error {
	for what, text := range map[string]string{"name": o.Name, "version": o.Version} {
		if text == "" || strings.ContainsAny(text, "\\?#%\x00 ") || strings.Contains(text, "..") {
			return fmt.Errorf("origin %s: %s %q is empty or has characters no registry uses", o.Kind, what, text)
		}
	}
	if strings.Contains(o.Name, "/") && !slash || strings.Contains(o.Version, "/") {
		return fmt.Errorf("origin %s: %q %q has a slash", o.Kind, o.Name, o.Version)
	}
	return nil
}

// String returns a short text for display.
func (o Origin) String() string {
	if k := o.Kind.find(); k != nil && k.Show != nil {
		return k.Show(o)
	}
	return fmt.Sprintf("%s %s %s", o.Kind, o.Name, o.Version)
}
