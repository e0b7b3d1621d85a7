package protocol

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

var update = flag.Bool("update", false, "rewrite testdata: a change of vectors is a new version of the format")

func key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func sample(t testing.TB) *Attestation {
	a := &Attestation{
		PID:     pir.Sum([]byte("a")),
		CID:     cid.Sum(cid.Raw, []byte("content")),
		Refs:    SortRefs([]pir.PID{pir.Sum([]byte("c")), pir.Sum([]byte("b")), pir.Sum([]byte("b"))}),
		Size:    7,
		Issued:  time.Unix(1_700_000_000, 5),
		Expires: time.Unix(1_800_000_000, 0),
	}
	if err := a.Sign(key(1)); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAttestationVector(t *testing.T) {
	got, err := sample(t).Encode()
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/attestation.nuon"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	back, err := DecodeAttestation(got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(t), back, cmp.Comparer(func(a, b cid.CID) bool { return a == b })); diff != "" {
		t.Errorf("round trip (-want +got)\n%s", diff)
	}
}

func TestAttestationRefuses(t *testing.T) {
	for name, change := range map[string]func(*Attestation){
		"pid":       func(a *Attestation) { a.PID[0]++ },
		"cid":       func(a *Attestation) { a.CID = cid.Sum(cid.Raw, nil) },
		"refs":      func(a *Attestation) { a.Refs = a.Refs[:1] },
		"size":      func(a *Attestation) { a.Size++ },
		"issued":    func(a *Attestation) { a.Issued = a.Issued.Add(time.Second) },
		"expires":   func(a *Attestation) { a.Expires = time.Time{} },
		"signer":    func(a *Attestation) { a.Signer = KeyOf(key(2)) },
		"signature": func(a *Attestation) { a.Signature[0]++ },
	} {
		a := sample(t)
		change(a)
		if err := a.Verify(); err == nil {
			t.Errorf("%s changed: the signature still verifies", name)
		}
		if b, err := a.Encode(); err != nil {
			t.Errorf("%s changed: %v", name, err)
		} else if _, err := DecodeAttestation(b); err == nil {
			t.Errorf("%s changed: it still decodes", name)
		}
	}
	unsorted := sample(t)
	unsorted.Refs[0], unsorted.Refs[1] = unsorted.Refs[1], unsorted.Refs[0]
	if _, err := unsorted.Encode(); err == nil {
		t.Error("unsorted references encode")
	}
}

func TestKey(t *testing.T) {
	want := KeyOf(key(3))
	got, err := ParseKey(want.String())
	if err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	for _, bad := range []string{"", "key-", want.String()[4:], want.String() + "a"} {
		if k, err := ParseKey(bad); err == nil {
			t.Errorf("%q: got %s, want an error", bad, k)
		}
	}
}

func TestAsError(t *testing.T) {
	inner := Errorf(NotFound, "no such package").WithHint("look again")
	for _, tt := range []struct {
		err  error
		want *Error
	}{
		{nil, nil},
		{inner, inner},
		{fmt.Errorf("show x: %w", inner), &Error{Code: NotFound, Message: "show x: no such package", Hint: "look again"}},
		{fmt.Errorf("wait: %w", context.Canceled), &Error{Code: Canceled, Message: "canceled"}},
		{errors.New("boom"), &Error{Code: Internal, Message: "boom"}},
		{
			&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC},
			&Error{Code: Exhausted, Message: "write x: " + syscall.ENOSPC.Error(), Hint: "make room on the disk and try again; no half-written content was kept"},
		},
	} {
		got := AsError(tt.err)
		if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreUnexported(Error{})); diff != "" {
			t.Errorf("%v: (-want +got)\n%s", tt.err, diff)
		}
		if tt.err != nil && !errors.Is(got, tt.err) {
			t.Errorf("%v: the cause is lost", tt.err)
		}
	}
}

// TestErrorCause wraps one error and two, and sends an Error over the wire, which drops the cause.
func TestErrorCause(t *testing.T) {
	two := Errorf(Failed, "%w and %w", fs.ErrNotExist, syscall.ENOSPC).WithHint("look")
	for _, err := range []error{Errorf(Failed, "open x: %w", fs.ErrNotExist), two, fmt.Errorf("outside: %w", two)} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v: the cause is lost", err)
		}
	}
	if !errors.Is(two, syscall.ENOSPC) || errors.Unwrap(Errorf(Failed, "none: %v", fs.ErrNotExist)) != nil {
		t.Errorf("got %v and %v", errors.Unwrap(two), errors.Unwrap(Errorf(Failed, "none: %v", fs.ErrNotExist)))
	}
	text, err := json.Marshal(two)
	if want := `{"code":"failed","message":"file does not exist and ` + syscall.ENOSPC.Error() + `","hint":"look"}`; err != nil || string(text) != want {
		t.Errorf("got %s, %v, want %s", text, err, want)
	}
}

// FuzzDecodeAttestation checks that an accepted attestation is signed and has one encoding.
func FuzzDecodeAttestation(f *testing.F) {
	b, err := sample(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := DecodeAttestation(b)
		if err != nil {
			return
		}
		again, err := a.Encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q decodes, but encodes to %q, %v", b, again, err)
		}
	})
}
