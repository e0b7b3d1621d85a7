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

func sampleFeedHead(t testing.TB, change func(*FeedHead)) *FeedHead {
	h := &FeedHead{Name: "mine", Number: 3, Root: cid.Sum(cid.DagPB, []byte("tree")), Issued: now, Expires: now.Add(MaxFeedLifetime)}
	if change != nil {
		change(h)
	}
	if err := h.Sign(key(1)); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestFeedHead(t *testing.T) {
	h := sampleFeedHead(t, nil)
	vector(t, "feed-head.nuon", h.Encode, func(b []byte) (any, error) { return DecodeFeedHead(b) }, h)
	revoked := sampleFeedHead(t, func(h *FeedHead) { h.Revoked, h.Next = true, KeyOf(key(2)) })
	vector(t, "feed-head-revoked.nuon", revoked.Encode, func(b []byte) (any, error) { return DecodeFeedHead(b) }, revoked)
	for at, want := range map[time.Duration]bool{0: true, MaxFeedLifetime: false, -MaxSkew + time.Second: true, -MaxSkew: false} {
		if got := h.Fresh(now.Add(at)); got != want {
			t.Errorf("fresh %s after it was issued: got %t, want %t", at, got, want)
		}
	}
	for name, change := range map[string]func(*FeedHead){
		"name":      func(h *FeedHead) { h.Name = "other" },
		"number":    func(h *FeedHead) { h.Number++ },
		"root":      func(h *FeedHead) { h.Root = cid.Sum(cid.DagPB, nil) },
		"issued":    func(h *FeedHead) { h.Issued = h.Issued.Add(time.Second) },
		"expires":   func(h *FeedHead) { h.Expires = h.Expires.Add(-time.Second) },
		"revoked":   func(h *FeedHead) { h.Revoked = true },
		"signer":    func(h *FeedHead) { h.Signer = KeyOf(key(2)) },
		"signature": func(h *FeedHead) { h.Signature[0]++ },
	} {
		changed := *h
		change(&changed)
		if b, err := changed.Encode(); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if _, err := DecodeFeedHead(b); err == nil {
			t.Errorf("a head whose %s was changed is accepted", name)
		}
	}
	b, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{
		strings.Replace(string(b), `{"expires"`, `{"also":1,"expires"`, 1), strings.Replace(string(b), `,"number"`, `, "number"`, 1), string(b) + "\n", strings.Repeat(" ", MaxFeedHead) + string(b),
	} {
		if _, err := DecodeFeedHead([]byte(other)); err == nil || other == string(b) {
			t.Errorf("%.60q is accepted, and it is not canonical", other)
		}
	}
	long := &FeedHead{Name: "mine", Number: 1, Root: h.Root, Issued: now, Expires: now.Add(MaxFeedLifetime + time.Second)}
	if err := long.Sign(key(1)); err == nil {
		t.Error("a head that is valid for more than a week is signed")
	}
}

// TestFeedHeadDomain checks that a signature for another use of the key is none of a feed's head.
func TestFeedHeadDomain(t *testing.T) {
	h := sampleFeedHead(t, nil)
	rec, err := h.record()
	if err != nil {
		t.Fatal(err)
	}
	for _, domain := range []string{"", headDomain, attestationDomain, setHeadDomain} {
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
		if _, err := DecodeFeedHead(b); err == nil {
			t.Errorf("a signature with the context %q is accepted", domain)
		}
	}
}

func FuzzFeedHead(f *testing.F) {
	for _, change := range []func(*FeedHead){nil, func(h *FeedHead) { h.Revoked, h.Next = true, KeyOf(key(2)) }} {
		b, err := sampleFeedHead(f, change).Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := DecodeFeedHead(b)
		if err != nil {
			return
		}
		again, err := h.Encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%q becomes %q, %v", b, again, err)
		}
	})
}
