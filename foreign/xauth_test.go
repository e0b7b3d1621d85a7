package foreign

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func cookie(family uint16, fields ...string) (out []byte) {
	out = binary.BigEndian.AppendUint16(out, family)
	for _, f := range fields {
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(f))), f...)
	}
	return out
}

// TestCookies checks that only the cookies of the display leave the file, and that they fit the host name of the sandbox.
func TestCookies(t *testing.T) {
	file := append(append(cookie(256, "desk", "1", "MIT-MAGIC-COOKIE-1", "one"), cookie(256, "desk", "2", "MIT-MAGIC-COOKIE-1", "two")...), cookie(256, "desk", "", "X", "any")...)
	want := append(cookie(0xffff, "", "1", "MIT-MAGIC-COOKIE-1", "one"), cookie(0xffff, "", "1", "X", "any")...)
	got, err := cookiesFor(file, "1")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for n := range file {
		if half, err := cookiesFor(file[:n], "1"); err == nil && len(half) > len(want) {
			t.Errorf("%d bytes: got %q", n, half)
		}
	}
	if _, err := cookiesFor(file[:5], "1"); err == nil {
		t.Error("half a cookie is no error")
	}
}

func FuzzCookies(f *testing.F) {
	f.Add(cookie(256, "desk", "1", "MIT-MAGIC-COOKIE-1", "one"), "1")
	f.Fuzz(func(t *testing.T, file []byte, display string) {
		got, err := cookiesFor(file, display)
		if again, e := cookiesFor(got, display); err == nil && len(display) < 1<<16 && (e != nil || string(again) != string(got)) {
			t.Errorf("%q is read as %q, %v", got, again, e)
		}
	})
}
