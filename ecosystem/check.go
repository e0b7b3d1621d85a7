package ecosystem

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"github.com/MordragT/nuka/pir"
)

// A Checker is an Adapter whose registry vouches for files beside telling their hashes, such as by a signature.
type Checker interface {
	// Check verifies what the registry offers about a file whose bytes have the hash f.Promised, and returns what was verified, such as npm-signature:KEY.
	// It returns "" if the registry offers nothing, or nothing that can be verified. An error means that what it offers is wrong: the file is not used.
	// ask asks a registry a question, whose answer is not recorded; nil: there is none.
	Check(f *File, ask func(Request) []byte) (checked string, err error)
}

// A Signed is text that a registry signed about a file, or asks its publisher to sign.
type Signed struct {
	// Provenance asks for attestations about the file (PEP 740, or npm's); the zero Request: there are none.
	Provenance Request
	Text       string // it contains File.Promised; "": nothing is signed
	Signatures []Signature
}

// A Signature is that of Signed.Text by one key.
type Signature struct {
	Key string // its name in the registry's list of keys
	Sig []byte
}

// maxAsked bounds an answer to a question of a Checker, in bytes.
const maxAsked = 8 << 20

// check has the adapter verify what vouches for a file whose bytes were compared with some hashes.
func (rec *Recorder) check(ctx context.Context, from http.Header, q Request, known *about, compared []pir.Hash) (checked string, fail *failure) {
	c, ok := rec.o.Adapter.(Checker)
	if !ok {
		return "", nil
	}
	var best *File
	for _, f := range known.all() {
		if f.Promised.IsZero() || f.Package == "" || !slices.Contains(compared, f.Promised) {
			continue
		}
		if best == nil || best.Signed == nil && f.Signed != nil || best.Vouched == "" && f.Vouched != "" {
			best = f
		}
	}
	if best == nil {
		return "", nil
	}
	one := *best
	one.Request = q
	checked, err := c.Check(&one, func(question Request) []byte { return rec.aside(ctx, question, from) })
	if err != nil {
		f := failf(http.StatusBadGateway, "%s: what the registry says of the file is not right: %v", q, err)
		f.say = f.text + "; nothing of it was kept. The registry or a mirror changed the file or its record"
		return "", f
	}
	return checked, nil
}

// aside asks for something once in a session. It returns nil if there is no answer.
func (rec *Recorder) aside(ctx context.Context, question Request, from http.Header) []byte {
	if question.Check() != nil {
		return nil
	}
	key := question.String()
	rec.mu.Lock()
	text, known := rec.asides[key]
	rec.mu.Unlock()
	if known {
		return text
	}
	got, err, _ := rec.asking.Do(key, func() (any, error) {
		_, ask := rec.o.Adapter.Variant(question.Path, "application/json")
		res, fail := rec.get(ctx, question, cmp.Or(ask, "*/*"), from, false)
		if fail != nil {
			return nil, ctx.Err()
		}
		defer res.Body.Close()
		var text []byte
		if res.StatusCode == http.StatusOK {
			var err error
			if text, err = whole(res, maxAsked); err != nil {
				text = nil
			}
		}
		if ctx.Err() == nil {
			rec.mu.Lock()
			rec.asides[key] = text
			rec.mu.Unlock()
		}
		return text, nil
	})
	if err != nil {
		return nil
	}
	text, _ = got.([]byte)
	return text
}
