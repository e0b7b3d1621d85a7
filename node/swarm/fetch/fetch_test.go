package fetch

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

const (
	leafSize = 64 << 10
	leaves   = 64
	linkRate = 1 << 20
)

// took is how long something takes on the synthetic clock.
func took(do func()) time.Duration {
	begin := time.Now()
	do()
	return time.Since(begin)
}

// Two providers together give what their links carry, each its share.
func TestTwoProviders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, f, m := start(t)
		root, blocks := tree(t, leaves, leafSize)
		a, b := n.add(blocks, 2*linkRate), n.add(blocks, linkRate)
		var done, total int64
		d := took(func() {
			if err := f.Fetch(t.Context(), root, leaves*leafSize, func(d, t int64) { done, total = d, t }); err != nil {
				t.Fatal(err)
			}
		})
		if !m.whole || !m.closed || done != leaves*leafSize || total != done {
			t.Errorf("whole %t, closed %t, %d of %d bytes", m.whole, m.closed, done, total)
		}
		if ideal := time.Duration(leaves*leafSize) * time.Second / (3 * linkRate); d > ideal*3/2 {
			t.Errorf("got %v, want little more than the %v of both links", d, ideal)
		}
		if a.bytesSent() < b.bytesSent() || b.bytesSent() < leaves*leafSize/8 {
			t.Errorf("the fast one sent %d bytes, the slow one %d", a.bytesSent(), b.bytesSent())
		}
		if f.Job(root) != nil {
			t.Error("the job is still registered")
		}
	})
}

// What is in flight from a provider that stalls is asked of the other one soon.
func TestStalledProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, f, _ := start(t)
		root, blocks := tree(t, leaves, leafSize)
		bad := n.add(blocks, linkRate)
		bad.answer = func(cid.CID, []byte) []byte { return nil }
		n.add(blocks, linkRate)
		d := took(func() {
			if err := f.Fetch(t.Context(), root, 0, nil); err != nil {
				t.Fatal(err)
			}
		})
		if alone := time.Duration(leaves*leafSize) * time.Second / linkRate; d > alone*3/2 {
			t.Errorf("got %v, want little more than the %v of the other one alone", d, alone)
		}
		if f.Stalls.Load() != 1 {
			t.Errorf("got %d stalls, want 1", f.Stalls.Load())
		}
	})
}

// Wrong bytes end a provider with the code that says so, and the other one sends the leaf.
func TestLyingProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, f, m := start(t)
		root, blocks := tree(t, leaves, leafSize)
		bad := n.add(blocks, 4*linkRate)
		bad.answer = func(_ cid.CID, b []byte) []byte {
			b = slices.Clone(b)
			b[0] ^= 1
			return b
		}
		n.add(blocks, linkRate)
		if err := f.Fetch(t.Context(), root, 0, nil); err != nil || !m.whole {
			t.Fatal(err)
		}
		if !slices.Contains(bad.Resets(), protocol.WrongBytes) {
			t.Errorf("the streams were reset with %d, want %d among them", bad.Resets(), protocol.WrongBytes)
		}
		if n.Peer(bad.Key).Ready() {
			t.Error("the liar is asked again at once")
		}
		if n.Book.Lies.Load() != 1 {
			t.Errorf("got %d lies, want 1", n.Book.Lies.Load())
		}
	})
}

// Providers that the DHT names are tried, and counted by what they turn out to be.
func TestAnnouncedProviders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, f, m := start(t)
		root, blocks := tree(t, 4, leafSize)
		for _, p := range []*fakePeer{n.add(blocks, linkRate), n.add(nil, linkRate), n.add(blocks, linkRate), n.add(blocks, linkRate)} {
			p.Apart, p.Announced = true, true
		}
		n.peers[2].Away, n.peers[3].Away = true, true
		if err := f.Fetch(t.Context(), root, 0, nil); err != nil || !m.whole {
			t.Fatal(err)
		}
		if a, b, c := f.Proved.Load(), f.Without.Load(), f.Unreachable.Load(); a != 1 || b != 1 || c != 2 {
			t.Errorf("got %d with it, %d without it, %d unreachable; want 1, 1, 2", a, b, c)
		}
	})
}

// A Bitswap-only peer is asked when nobody else has the tree.
func TestBitswapOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, f, m := start(t)
		root, blocks := tree(t, leaves, leafSize)
		n.add(blocks, linkRate).Foreign = true
		if err := f.Fetch(t.Context(), root, 0, nil); err != nil || !m.whole {
			t.Fatal(err)
		}
	})
}

// What nobody has is not waited for, and the next fetch goes on from what is here.
func TestNoProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, f, m := start(t)
		root, blocks := tree(t, leaves, leafSize)
		var err error
		if d := took(func() { err = f.Fetch(t.Context(), root, 0, nil) }); protocol.CodeOf(err) != protocol.Unavailable || d > time.Second {
			t.Errorf("got %v after %v", err, d)
		}
		p := n.add(blocks, linkRate)
		p.vanish = leaves / 2
		if err = f.Fetch(t.Context(), root, 0, nil); protocol.CodeOf(err) != protocol.Unavailable || !strings.Contains(protocol.AsError(err).Hint, "are in the store") {
			t.Errorf("got %v with the hint %q", err, protocol.AsError(err).Hint)
		}
		had := len(m.have)
		other := n.add(blocks, linkRate)
		if err := f.Fetch(t.Context(), root, 0, nil); err != nil || !m.whole {
			t.Fatal(err)
		}
		if most := (leaves-had+1)*leafSize + len(blocks[root])*2; had == 0 || other.bytesSent() > most {
			t.Errorf("%d leaves were here, and %d bytes were sent, want %d at most", had, other.bytesSent(), most)
		}
	})
}
