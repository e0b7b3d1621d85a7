package routing

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/MordragT/nuka/protocol"
)

func key(n int) (k protocol.Key) {
	k[0], k[1], k[2] = byte(n), byte(n>>8), byte(n>>16)
	return k
}

// A peer that fails is left alone for 1 s, then twice as long each time, up to 10 minutes; an answer or the user ends that.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewBook().Peer(key(1))
		alone := func() time.Duration {
			begin := time.Now()
			for !p.Ready() {
				time.Sleep(10 * time.Millisecond)
			}
			return time.Since(begin)
		}
		for _, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
			p.Failed()
			if got := alone(); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		}
		for range 40 {
			p.Failed()
		}
		if got := alone(); got != lastBackoff {
			t.Errorf("after many failures: got %v, want %v", got, lastBackoff)
		}
		p.Failed()
		p.Answered(time.Millisecond)
		if !p.Ready() {
			t.Error("a peer that answers is left alone")
		}
		p.Failed()
		if got := alone(); got != firstBackoff {
			t.Errorf("after an answer: got %v, want %v", got, firstBackoff)
		}
		p.Lied()
		if got := alone(); got != lastBackoff {
			t.Errorf("after a lie: got %v, want %v", got, lastBackoff)
		}
		p.Lied()
		p.Called()
		if !p.Ready() {
			t.Error("a peer that the user calls is left alone")
		}
	})
}

// A full Book forgets strangers before peers with a reason to be remembered, and tells of each newly useful peer once.
func TestForget(t *testing.T) {
	b := NewBook()
	for n := range maxPeers / 2 {
		b.Peer(key(n)).WasUseful()
	}
	for n := range 2 * maxPeers {
		b.Peer(key(maxPeers + n))
	}
	if len(b.peers) > maxPeers {
		t.Errorf("got %d peers, want %d at most", len(b.peers), maxPeers)
	}
	if got := len(b.Useful()); got != maxPeers/2 {
		t.Errorf("got %d useful peers, want %d", got, maxPeers/2)
	}
	if called, useful := b.Reasons(key(0)); called || !useful {
		t.Errorf("got called %t, useful %t", called, useful)
	}
	<-b.NewlyUseful
	b.Peer(key(0)).WasUseful()
	select {
	case <-b.NewlyUseful:
		t.Error("a peer is newly useful twice")
	default:
	}
}
