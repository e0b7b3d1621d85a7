package protocol

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/pir/nuon"
)

func TestJoinMessages(t *testing.T) {
	m := testMesh()
	a := &JoinAnswer{
		Mesh: *m, Credential: []byte("c"), Addresses: []string{"/ip4/127.0.0.1/tcp/1/p2p/x"},
		Names: map[Key]string{m.Authority: "desk", KeyOf(meshKey(2)): "Büro-2"},
	}
	b, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeJoinAnswer(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(a, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	for _, r := range []*JoinRequest{{Token: []byte("token")}, {Token: []byte("token"), Name: "laptop"}} {
		if b, err = r.Encode(); err != nil {
			t.Fatal(err)
		}
		again, err := DecodeJoinRequest(b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(r, again); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	}
	if _, err := DecodeJoinAnswer(b); err == nil {
		t.Error("a request was read as an answer")
	}
}

// TestJoinVectors checks that messages of earlier versions keep their bytes: a message without names is unchanged, and earlier versions ignore names.
func TestJoinVectors(t *testing.T) {
	b, err := (&JoinRequest{Token: []byte{1, 2}}).Encode()
	if want := `{"join":1,"token":0x[0102]}`; err != nil || string(b) != want {
		t.Errorf("got %s, %v, want %s", b, err, want)
	}
	b, err = (&JoinAnswer{Mesh: *testMesh()}).Encode()
	if err != nil || bytes.Contains(b, []byte("names")) {
		t.Errorf("got %s, %v", b, err)
	}
}

func TestJoinRefusal(t *testing.T) {
	expired := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	for reason, want := range map[RefusalReason]string{
		RefusedInvalid: "not valid", RefusedUsed: "used already", RefusedExpired: "expired on 2026-01-02 03:04:05",
		RefusedRevoked: "invitation was revoked", RefusedKey: "node was revoked", "of a later version": "not valid", "": "not valid",
	} {
		b, err := (&JoinRefusal{Reason: reason, Expired: expired}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		_, err = DecodeJoinAnswer(b)
		var r *JoinRefusal
		if !errors.As(err, &r) || !strings.Contains(r.Error(), want) {
			t.Errorf("%q: got %v, want %q", reason, err, want)
		}
	}
}

func TestMemberName(t *testing.T) {
	for in, want := range map[string]string{
		"laptop": "laptop", "Anna's MacBook Pro.local": "Anna-s-MacBook-Pro.local", "Büro": "Büro", "": "", "  ": "", "\x1b[31mred\x07": "31mred",
		"a\u202eb": "a-b", "שלום": "", "key-gztryct": "gztryct", "key-key-": "key", "-.x._": "x", "\xff\xfe": "", strings.Repeat("ü", 99): strings.Repeat("ü", 32),
		"e\u0301\u0301\u0301": "e", "two\nlines\tand a tab": "two-lines-and-a-tab",
	} {
		if got := MemberName(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzMemberName(f *testing.F) {
	for _, s := range []string{"laptop", "key-key-x", "\x00\u202e", "-a-", strings.Repeat("é-", 40)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name := MemberName(s)
		if again := MemberName(name); again != name {
			t.Errorf("%q: got %q, then %q", s, name, again)
		}
		odd := strings.IndexFunc(name, func(r rune) bool {
			return !unicode.IsPrint(r) || unicode.IsSpace(r) || unicode.In(r, unicode.Bidi_Control, unicode.Hebrew, unicode.Arabic, unicode.Mn)
		})
		if odd >= 0 || utf8.RuneCountInString(name) > maxMemberName || strings.HasPrefix(name, keyPrefix) {
			t.Errorf("%q: got %q", s, name)
		}
	})
}

func FuzzJoin(f *testing.F) {
	m := testMesh()
	for _, e := range []interface{ Encode() ([]byte, error) }{
		&JoinRequest{Token: []byte("t"), Name: "n"}, &JoinAnswer{Mesh: *m, Names: map[Key]string{m.Authority: "a"}}, &JoinRefusal{Reason: RefusedExpired},
	} {
		b, err := e.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	b, err := nuon.Encode(nuon.Record{"join": int64(1), "token": nuon.Binary("t"), "name": "\x1b[2J", "later": true})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := DecodeJoinRequest(b); err == nil && r.Name != MemberName(r.Name) {
			t.Errorf("got %+v", r)
		}
		a, err := DecodeJoinAnswer(b)
		if err != nil {
			return
		}
		if a.Mesh.Check() != nil {
			t.Errorf("got %+v", a)
		}
		for _, name := range a.Names {
			if name == "" || name != MemberName(name) {
				t.Errorf("got %q", name)
			}
		}
	})
}
