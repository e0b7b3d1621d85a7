package wasmrt_test

import (
	"bytes"
	"testing"

	"github.com/MordragT/nuka/wasmrt"
)

// FuzzParseWrapper: what is read as a wrapper is written as the same bytes.
func FuzzParseWrapper(f *testing.F) {
	for _, w := range []wasmrt.Wrapper{
		{Exe: "/bin/a"},
		{Exe: "/out/a", Args: []string{"x", "/out"}, Env: map[string]string{"A": "b=c"}, Out: "/out", At: "bin/w"},
	} {
		b, err := w.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("#!nuka-wrap\n{\"args\":[],\"exe\":\"/a\"}\n"))
	f.Add([]byte("#!nuka-wrap\n{\"at\":\"../x\",\"exe\":\"/a\",\"out\":\"/\"}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := wasmrt.ParseWrapper(b)
		if err != nil {
			return
		}
		again, err := w.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(bytes.TrimSuffix(again, []byte("\n")), bytes.TrimSuffix(b, []byte("\n"))) {
			t.Errorf("%q is written as %q", b, again)
		}
	})
}
