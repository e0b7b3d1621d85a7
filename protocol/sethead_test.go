package protocol

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
)

func sampleSetHead(t testing.TB, change func(*SetHead)) *SetHead {
	h := &SetHead{Name: "mine", Number: 3, Root: cid.Sum(cid.DagPB, []byte("tree")), Issued: now, Expires: now.Add(90 * 24 * time.Hour)}
	if change != nil {
		change(h)
	}
	if err := h.Sign(key(1)); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestSetHead(t *testing.T) {
	h := sampleSetHead(t, nil)
	vector(t, "set-head.nuon", h.Encode, func(b []byte) (any, error) { return DecodeSetHead(b) }, h)
	for at, want := range map[time.Duration]bool{0: true, 90 * 24 * time.Hour: false, -MaxSkew + time.Second: true, -MaxSkew: false} {
		if got := h.Fresh(now.Add(at)); got != want {
			t.Errorf("fresh %s after it was issued: got %t, want %t", at, got, want)
		}
	}
	for name, change := range map[string]func(*SetHead){
		"name":      func(h *SetHead) { h.Name = "other" },
		"number":    func(h *SetHead) { h.Number++ },
		"root":      func(h *SetHead) { h.Root = cid.Sum(cid.DagPB, nil) },
		"issued":    func(h *SetHead) { h.Issued = h.Issued.Add(time.Second) },
		"expires":   func(h *SetHead) { h.Expires = h.Expires.Add(time.Second) },
		"signer":    func(h *SetHead) { h.Signer = KeyOf(key(2)) },
		"signature": func(h *SetHead) { h.Signature[0]++ },
	} {
		changed := *h
		change(&changed)
		if b, err := changed.Encode(); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if _, err := DecodeSetHead(b); err == nil {
			t.Errorf("a head whose %s was changed is accepted", name)
		}
	}
	b, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{
		strings.Replace(string(b), `{"expires"`, `{"also":1,"expires"`, 1), strings.Replace(string(b), `,"number"`, `, "number"`, 1), string(b) + "\n", strings.Repeat(" ", MaxSetHead) + string(b),
	} {
		if _, err := DecodeSetHead([]byte(other)); err == nil || other == string(b) {
			t.Errorf("%.60q is accepted, and it is not canonical", other)
		}
	}
	for name, change := range map[string]func(*SetHead){
		"empty name": func(h *SetHead) { h.Name = "" }, "a path as name": func(h *SetHead) { h.Name = "../x" }, "number 0": func(h *SetHead) { h.Number = 0 },
		"no root": func(h *SetHead) { h.Root = cid.CID{} }, "expires before it is issued": func(h *SetHead) { h.Expires = h.Issued },
	} {
		changed := *h
		change(&changed)
		if err := changed.Sign(key(1)); err == nil {
			t.Errorf("a head is signed with %s", name)
		}
	}
}

// TestSetHeadDomain checks that a signature for another use of the key is none of a set's head, and the other way round.
func TestSetHeadDomain(t *testing.T) {
	h := sampleSetHead(t, nil)
	for _, domain := range []string{"", headDomain, attestationDomain} {
		rec, err := h.record()
		if err != nil {
			t.Fatal(err)
		}
		claim, err := nuon.Append([]byte(domain), rec)
		if err != nil {
			t.Fatal(err)
		}
		forged := *h
		forged.Signature = [ed25519.SignatureSize]byte(ed25519.Sign(key(1), claim))
		b, err := forged.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeSetHead(b); err == nil {
			t.Errorf("a signature with the context %q is accepted", domain)
		}
	}
	b, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeHead(b); err == nil {
		t.Error("the head of a set is accepted as a head of statements")
	}
	head, err := sampleHead(t, 3, nil).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeSetHead(head); err == nil {
		t.Error("a head of statements is accepted as the head of a set")
	}
}

func FuzzSetHead(f *testing.F) {
	b, err := sampleSetHead(f, nil).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Add([]byte("{set: 1}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := DecodeSetHead(b); err == nil {
			if again, err := h.Encode(); err != nil || !bytes.Equal(again, b) {
				t.Errorf("head %q is written as %q, %v", b, again, err)
			}
		}
	})
}
