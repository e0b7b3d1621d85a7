package cargo

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"github.com/MordragT/nuka/ecosystem"
)

// crate returns a crate with one file.
func crate(t *testing.T, name, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, err := range []error{w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestHeld reads the lock file in a crate, and no other file of that name.
func TestHeld(t *testing.T) {
	const lock = "version = 3\n\n[[package]]\nname = \"libc\"\nversion = \"0.2.1\"\nsource = \"registry+https://example.org/index\"\n"
	r := ecosystem.Request{Alias: "crate", Path: "/a/1.0.0/download"}
	if (Adapter{}).Describe(r) == nil {
		t.Fatalf("%s is no request for a crate", r)
	}
	for _, c := range []struct {
		name, text string
		bytes      []byte
		want       string
		fails      bool
	}{
		{name: "a-1.0.0/Cargo.lock", text: lock, want: "libc 0.2.1"},
		{name: "a-1.0.0/Cargo.toml", text: lock},
		{name: "a-1.0.0/vendor/Cargo.lock", text: lock},
		{name: "a-1.0.0/Cargo.lock", text: "[[package]", fails: true},
		{name: "a-1.0.0/Cargo.lock", text: strings.Repeat("#", maxLock+1), fails: true},
		{bytes: []byte("no crate"), fails: true},
	} {
		b := c.bytes
		if b == nil {
			b = crate(t, c.name, c.text)
		}
		list, err := (Adapter{}).Held(r, bytes.NewReader(b))
		var got []string
		for _, f := range list {
			got = append(got, f.Package+" "+f.Version)
		}
		if strings.Join(got, ",") != c.want || (err != nil) != c.fails {
			t.Errorf("%s %.20q: got %q, %v", c.name, c.text, got, err)
		}
	}
}
