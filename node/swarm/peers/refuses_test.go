package peers

import (
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// A peer begins to answer a protocol just after it has sent its list of protocols. It does not count as one that refuses the protocol, and a
// peer that never answers the protocol does.
func TestRefusesLate(t *testing.T) {
	a, b := start(t, 1, nil), start(t, 2, nil)
	connect(t, a, b)
	until(t, "the list of protocols", func() bool {
		spoken, err := a.host.Peerstore().GetProtocols(b.host.ID())
		return err == nil && len(spoken) > 0
	})
	time.AfterFunc(100*time.Millisecond, func() { b.host.SetStreamHandler(b.protocol("/late/1"), func(st network.Stream) { abort(st) }) })
	if a.Refuses(a.Peer(b.Key()), "/late/1") {
		t.Error("a protocol that the peer answers after 100 ms counts as refused")
	}
	if !a.Refuses(a.Peer(b.Key()), "/never/1") {
		t.Error("a protocol that the peer never answers does not count as refused")
	}
}
