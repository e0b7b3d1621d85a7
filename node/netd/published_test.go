package netd

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"slices"
	"testing"
	"time"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

func (y *system) Published(_ context.Context, keys []protocol.Key) ([][]byte, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	var list [][]byte
	for _, b := range y.published {
		if h, err := protocol.DecodePublished(b); err == nil && slices.Contains(keys, h.Signer) {
			list = append(list, b)
		}
	}
	return list, nil
}

func (y *system) LearnPublished(_ context.Context, head []byte) error {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.learned = append(y.learned, bytes.Clone(head))
	return nil
}

// testPublished lets b ask for heads of feeds, and a tell b of one.
func testPublished(t *testing.T, a, b *node, root cid.CID) {
	t.Helper()
	// b gets the heads of feeds of the signers that it asks for, and learns what a tells it.
	for _, k := range []ed25519.PrivateKey{a.key, b.key} {
		h := &protocol.FeedHead{Name: "mine", Number: 1, Root: root, Issued: time.Now(), Expires: time.Now().Add(time.Hour)}
		if err := h.Sign(k); err != nil {
			t.Fatal(err)
		}
		text, err := h.Encode()
		if err != nil {
			t.Fatal(err)
		}
		a.system.mu.Lock()
		a.system.published = append(a.system.published, text)
		a.system.mu.Unlock()
	}
	published, err := b.Published(t.Context(), []protocol.Key{protocol.KeyOf(b.key)})
	if err != nil || len(published) != 1 || !bytes.Contains(published[0], []byte(protocol.KeyOf(b.key).String())) {
		t.Errorf("published: got %q, %v", published, err)
	}
	a.Tell(t.Context(), a.system.published[0])
	b.system.mu.Lock()
	if len(b.system.learned) != 2 { // the answer, and the hint
		t.Errorf("learned %q", b.system.learned)
	}
	b.system.mu.Unlock()
}
