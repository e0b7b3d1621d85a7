package protocol

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestPackagesFollow(t *testing.T) {
	want := []Package{{PIR: `{"kind":"data"}`, Name: "a"}, {PIR: "line\nfeed", Origins: []string{"x", "y"}}, {PIR: strings.Repeat("p", 300_000)}}
	text, err := io.ReadAll(iotest.OneByteReader(Send(want)))
	if err != nil {
		t.Fatal(err)
	}
	inline := Package{PIR: "sent in the arguments"}
	a := RealizeArgs{Packages: []Package{inline}, Follow: len(want)}
	if err := a.Receive(iotest.HalfReader(bytes.NewReader(text))); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(append([]Package{inline}, want...), a.Packages); d != "" {
		t.Error(d)
	}
}

func TestPackagesHostile(t *testing.T) {
	two, err := io.ReadAll(Send([]Package{{PIR: "a"}, {PIR: "b"}}))
	if err != nil {
		t.Fatal(err)
	}
	reset := errors.New("connection reset")
	for _, c := range []struct {
		name   string
		follow int
		data   io.Reader
		code   Code
		has    string
	}{
		{"negative", -1, bytes.NewReader(two), Invalid, "-1 packages"},
		{"too many", MaxPackages + 1, bytes.NewReader(two), Invalid, "200001 packages"},
		{"fewer than announced", 3, bytes.NewReader(two), Invalid, "package 3 of 3 of the call: unexpected EOF"},
		{"cut", 2, bytes.NewReader(two[:len(two)-4]), Invalid, "package 2 of 2 of the call: unexpected EOF"},
		{"lost", 2, io.MultiReader(bytes.NewReader(two[:5]), iotest.ErrReader(reset)), Invalid, "connection reset"},
		{"not JSON", 1, strings.NewReader("PIR\n"), Invalid, "package 1 of 1"},
		{"a line without an end", 1, endless{}, Exhausted, "more than 67108864 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := RealizeArgs{Follow: c.follow}
			err := a.Receive(c.data)
			if CodeOf(err) != c.code || !strings.Contains(err.Error(), c.has) {
				t.Errorf("%v (%s), want %s with %q", err, CodeOf(err), c.code, c.has)
			}
		})
	}
}

// endless is a reader that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func FuzzPackages(f *testing.F) {
	f.Add(1, []byte(`{"pir":"a"}`+"\n"))
	f.Add(2, []byte(`{"pir":"a","origins":["b"]}`+"\n"+`{"name":"c"}`))
	f.Fuzz(func(t *testing.T, follow int, text []byte) {
		a := RealizeArgs{Follow: follow}
		if a.Receive(bytes.NewReader(text)) != nil {
			return
		}
		again, err := io.ReadAll(Send(a.Packages))
		if err != nil {
			t.Fatal(err)
		}
		b := RealizeArgs{Follow: len(a.Packages)}
		if err := b.Receive(bytes.NewReader(again)); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(a.Packages, b.Packages); d != "" {
			t.Error(d)
		}
	})
}
