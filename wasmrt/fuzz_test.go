package wasmrt

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/MordragT/nuka/pir/nuon"
)

// FuzzParseWrapper checks that encoding a parsed wrapper gives the same bytes.
func FuzzParseWrapper(f *testing.F) {
	for _, w := range []*wrapper{
		{Exe: "/bin/a"},
		{Exe: "/out/a", Args: []string{"x", "/out"}, Env: map[string]string{"A": "b=c"}, Out: "/out", At: "bin/w"},
	} {
		b, err := encodeWrapper(w)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("#!nuka-wrap\n{\"args\":[],\"exe\":\"/a\"}\n"))
	f.Add([]byte("#!nuka-wrap\n{\"at\":\"../x\",\"exe\":\"/a\",\"out\":\"/\"}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := parseWrapper(b)
		if err != nil {
			return
		}
		again, err := encodeWrapper(w)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(bytes.TrimSuffix(again, []byte("\n")), bytes.TrimSuffix(b, []byte("\n"))) {
			t.Errorf("%q is written as %q", b, again)
		}
	})
}

// encodeWrapper returns the content of a wrapper's file.
func encodeWrapper(w *wrapper) ([]byte, error) {
	r := nuon.Record{"exe": w.Exe}
	if w.Out != "" {
		r["out"], r["at"] = w.Out, w.At
	}
	if len(w.Args) > 0 {
		var list nuon.List
		for _, a := range w.Args {
			list = append(list, a)
		}
		r["args"] = list
	}
	if len(w.Env) > 0 {
		env := nuon.Record{}
		for k, v := range w.Env {
			env[k] = v
		}
		r["env"] = env
	}
	b, err := nuon.Encode(r)
	if err != nil {
		return nil, fmt.Errorf("wrapper: %w", err)
	}
	out := append([]byte(wrapMagic), b...)
	out = append(out, '\n')
	if _, err := parseWrapper(out); err != nil {
		return nil, err
	}
	return out, nil
}
