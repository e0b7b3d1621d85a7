package fetch

import (
	"testing"
	"time"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir/cid"
)

// A peer that gives faster than it is asked is asked for more: neither that it often owes nothing, nor that
// nothing is wanted of it for a while, hides its rate.
func TestRateOfFastPeer(t *testing.T) {
	q := &queue{}
	leaves := make([]cid.Leaf, 400)
	for i := range leaves {
		leaves[i] = cid.Leaf{CID: cid.Sum(cid.Raw, []byte{byte(i), byte(i >> 8)}), Size: cid.LeafSize}
	}
	q.fill(leaves, false)
	w := &worker{p: &provider{peer: &routing.Peer{}}}
	q.workers = []*worker{w}
	now := time.Unix(1_000_000_000, 0)
	asks, most := 0, int64(0)
	for q.left > 0 {
		window := q.take(w, now)
		if len(window) == 0 {
			t.Fatalf("%d leaves are left, and none is asked for", q.left)
		}
		asks++
		most = max(most, w.inFlight)
		for range window { // 200 MiB a second
			now = now.Add(5 * time.Millisecond)
			w.bytes.Add(cid.LeafSize)
			q.arrived(w, true, now)
		}
		now = now.Add(5 * time.Millisecond) // until it hears what is wanted next
	}
	if asks > 40 || most > maxWindow {
		t.Errorf("got %d requests for %d MiB, of up to %d MiB, want fewer", asks, len(leaves), most>>20)
	}
	if mib := w.rate / (1 << 20); mib < 150 || mib > 250 {
		t.Errorf("got a rate of %.0f MiB/s, want 200", mib)
	}
}
