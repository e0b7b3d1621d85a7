package claims

import (
	"bufio"
	"crypto/ed25519"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MordragT/nuka/node/swarm/routing/routingtest"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// feedHead returns a head of a feed, with a line feed.
func feedHead(t testing.TB, key ed25519.PrivateKey, name string, number int64) []byte {
	t.Helper()
	h := &protocol.FeedHead{Name: name, Number: number, Root: cid.Sum(cid.DagPB, []byte(name)), Issued: time.Now(), Expires: time.Now().Add(time.Hour)}
	if err := h.Sign(key); err != nil {
		t.Fatal(err)
	}
	text, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// offers answers requests for published heads with lines.
func offers(asked *int, lines []byte) func(string, *routingtest.Stream) {
	return func(_ string, st *routingtest.Stream) {
		r, w := bufio.NewReader(st), bufio.NewWriter(st)
		for {
			kind, items, err := protocol.ReadAsk(r)
			if err != nil || kind != protocol.AskPublished {
				return
			}
			if asked != nil {
				*asked += len(items)
			}
			if len(lines) > 0 && protocol.WriteAnswer(w, protocol.Plain, lines) != nil {
				return
			}
			if protocol.WriteAnswer(w, protocol.End, nil) != nil || w.Flush() != nil {
				return
			}
		}
	}
}

// TestPublished asks connected and announced peers for the heads of one signer. Old heads do not crowd out the newest, and liars are left alone.
func TestPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signer, stranger := routingtest.Key(100), routingtest.Key(101)
		n, a, l := start(t)
		asked := 0
		var old []byte
		for i := range int64(20) {
			old = append(old, feedHead(t, signer, "mine", i+1)...)
		}
		other := feedHead(t, signer, "other", 1)
		n.Add(offers(&asked, append(old, other...)))
		n.Add(silent)
		liars := []*routingtest.Node{n.Add(offers(nil, feedHead(t, stranger, "mine", 99))), n.Add(offers(nil, []byte("no head\n")))}
		forged := feedHead(t, signer, "mine", 98)
		forged[len(forged)-5]++
		liars = append(liars, n.Add(offers(nil, forged)))
		newest := feedHead(t, signer, "mine", 21)
		found := n.Add(offers(nil, newest))
		found.Apart, found.Announced = true, true
		begin := time.Now()
		got, err := a.Published(t.Context(), []protocol.Key{protocol.KeyOf(signer)})
		if err != nil || len(got) != keepHeads+1 {
			t.Fatalf("got %d heads, %v, want %d", len(got), err, keepHeads+1)
		}
		has := map[string]bool{}
		for _, h := range got {
			has[string(h)+"\n"] = true
		}
		if !has[string(newest)] || !has[string(other)] {
			t.Error("the newest head or that of another feed is missing")
		}
		if d := time.Since(begin); d != askTimeout {
			t.Errorf("it took %v, want the %v of the silent peer", d, askTimeout)
		}
		if asked != 1 {
			t.Errorf("a peer was asked for %d signers", asked)
		}
		if got := n.Book.Lies.Load(); got != int64(len(liars)) {
			t.Errorf("%d lies, want %d", got, len(liars))
		}
		if len(l.heads) != 22 {
			t.Errorf("the node learned %d heads, want each once", len(l.heads))
		}
	})
}
