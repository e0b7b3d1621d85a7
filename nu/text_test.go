package nu

import (
	"bytes"
	"errors"
	"testing"
	"testing/fstest"
)

// TestPlainText checks that a file with the line ends or byte order mark of some systems gives the same package as without.
func TestPlainText(t *testing.T) {
	const plain = "# A package.\nexport def main [] {\n  derivation {name: a, build: {|b|\n    \"one\ntwo\" | save $\"($b.out)/x\"\n  }}\n}\n"
	crlf := bytes.ReplaceAll([]byte(plain), []byte("\n"), []byte("\r\n"))
	e := testEngine(t, nil)
	eval := func(text []byte) (*Result, error) {
		return e.Eval(t.Context(), &Request{
			Sets: []Mount{{Path: "/work", FS: fstest.MapFS{"a.nu": {Data: text}}}}, File: "/work/a.nu",
		})
	}
	want, err := eval([]byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"carriage returns": crlf, "a byte order mark": append([]byte("\uFEFF"), plain...), "both": append([]byte("\uFEFF"), crlf...),
	} {
		got, err := eval(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.Root != want.Root {
			t.Errorf("%s: PID %s, want %s", name, got.Root, want.Root)
		}
	}
	_, err = eval([]byte("\uFEFF# x\r\nexport def main [] {\r\n  derivashun {}\r\n}\r\n"))
	var d *Error
	if !errors.As(err, &d) || d.Diags[0].Line != 3 || d.Diags[0].Col != 3 || bytes.ContainsRune([]byte(d.Diags[0].Source), '\r') {
		t.Errorf("got %v, want a place in line 3, column 3", err)
	}
}
