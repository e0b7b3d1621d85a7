package pir

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
)

// Decode reads a PIR from its canonical bytes.
// It refuses bytes that are not canonical, unknown fields, and fields of the wrong type,
// so Encode of the result returns the same bytes.
func Decode(canonical []byte) (*PIR, error) {
	if len(canonical) > MaxSize {
		return nil, fmt.Errorf("decode pir: %d bytes are more than %d", len(canonical), MaxSize)
	}
	rec, err := nuon.DecodeRecord(canonical)
	if err != nil {
		return nil, fmt.Errorf("decode pir: %w", err)
	}
	p, err := fromRecord(rec)
	if err != nil {
		return nil, fmt.Errorf("decode pir: %w", err)
	}
	again, err := p.Encode()
	if err != nil {
		return nil, fmt.Errorf("decode pir: %w", err)
	}
	if !bytes.Equal(again, canonical) {
		return nil, errors.New("decode pir: unknown field, or a field that does not belong to its kind")
	}
	return p, nil
}

func fromRecord(rec nuon.Record) (*PIR, error) {
	if v := rec["pir"]; v != int64(Version) {
		return nil, fieldErr("pir", "version %v, this program knows %d", v, Version)
	}
	if nu, ok := rec["nu"]; ok && nu != Edition {
		return nil, fieldErr("nu", "edition %v, this program knows %s", nu, Edition)
	}
	var r reader
	p := &PIR{
		Kind:     Kind(r.text(rec, "kind")),
		Name:     r.text(rec, "name"),
		Version:  r.text(rec, "version"),
		Packages: r.refs(rec, "packages"),
		Build:    r.rec(rec, "build"),
		Run:      r.rec(rec, "run"),
		Policy:   r.rec(rec, "policy"),
		Unpack:   Unpack(r.text(rec, "unpack")),
		Layout:   Layout(r.text(rec, "layout")),
		Data:     rec["data"],
	}
	for field, to := range map[string]*PID{"runtime": &p.Runtime, "recording": &p.Recording} {
		if text := r.text(rec, field); text != "" {
			id, err := ParsePID(text)
			r.fail(field, err)
			*to = id
		}
	}
	if text := r.text(rec, "platform"); text != "" {
		platform, err := ParsePlatform(text)
		r.fail("platform", err)
		p.Platform = platform
	}
	if text := r.text(rec, "hash"); text != "" {
		hash, err := ParseHash(text)
		r.fail("hash", err)
		p.Hash = hash
	}
	if strip, ok := rec["strip"]; ok {
		n, ok := strip.(int64)
		if !ok || n < 1 || n > 32 {
			r.fail("strip", errors.New("want a number from 1 to 32"))
		}
		p.Strip = int(n)
	}
	if _, one := rec["src"].(string); one {
		id, err := ParsePID(r.text(rec, "src"))
		r.fail("src", err)
		p.Src.One = id
	} else {
		p.Src.Named = r.refs(rec, "src")
	}
	for k, v := range r.rec(rec, "env") {
		text, ok := v.(string)
		if !ok {
			r.fail("env", fmt.Errorf("%q: want a string", k))
		}
		if p.Env == nil {
			p.Env = map[string]string{}
		}
		p.Env[k] = text
	}
	for name := range r.rec(rec, "merge") {
		m, err := ParseMerge(r.rec(r.rec(rec, "merge"), name))
		r.fail("merge", err)
		if p.Merge == nil {
			p.Merge = map[string]Merge{}
		}
		p.Merge[name] = m
	}
	return p, r.err
}

// reader reads fields from a record and keeps the first error.
type reader struct{ err error }

func (r *reader) fail(field string, err error) {
	if err != nil && r.err == nil {
		r.err = &FieldError{field, err}
	}
}

func (r *reader) text(rec nuon.Record, field string) string {
	v, ok := rec[field]
	text, isText := v.(string)
	if ok && !isText {
		r.fail(field, errors.New("want a string"))
	}
	return text
}

func (r *reader) rec(rec nuon.Record, field string) nuon.Record {
	v, ok := rec[field]
	sub, isRec := v.(nuon.Record)
	if ok && !isRec {
		r.fail(field, errors.New("want a record"))
	}
	return sub
}

func (r *reader) refs(rec nuon.Record, field string) map[string]PID {
	sub := r.rec(rec, field)
	if sub == nil {
		return nil
	}
	refs := make(map[string]PID, len(sub))
	for name := range sub {
		id, err := ParsePID(r.text(sub, name))
		r.fail(field, err)
		refs[name] = id
	}
	return refs
}

// Resolve returns the resolved PIR of p and its PID:
// p with the PID of every input replaced by the CID that content returns for it.
// A fetch, a value and a build without inputs resolve to themselves.
func (p *PIR) Resolve(content func(PID) (cid.CID, error)) (PID, []byte, error) {
	var failed error
	rec := p.record(func(id PID) string {
		c, err := content(id)
		if err == nil && c.IsZero() {
			err = errNotRealized
		}
		if err != nil && failed == nil {
			failed = fmt.Errorf("resolve %s: input %s: %w", p.Name, id.Short(), err)
		}
		return c.String()
	})
	if failed != nil {
		return PID{}, nil, failed
	}
	b, err := nuon.Encode(rec)
	if err != nil {
		return PID{}, nil, fmt.Errorf("resolve %s: %w", p.Name, err)
	}
	return Sum(b), b, nil
}

var errNotRealized = errors.New("not realized")
