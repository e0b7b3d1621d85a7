package peers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peerstore"
)

// Case 7: saved peers are called first, and however many strangers are connected.
func TestSavedFirst(t *testing.T) {
	var crowd, saved []string
	for n := range enoughPeers {
		b := start(t, byte(20+n), nil)
		crowd = append(crowd, b.Addresses()[0]+"/p2p/"+b.ID())
		c := start(t, byte(30+n), nil)
		saved = append(saved, c.Addresses()[0]+"/p2p/"+c.ID())
	}
	begin := func(n byte, saved []string) *Host {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, savedFile), []byte(strings.Join(saved, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		return start(t, n, func(o *Options) { o.Dir, o.Bootstrap, o.NoDHT = dir, crowd, true })
	}
	a := begin(1, saved)
	until(t, "the saved peers", func() bool { return len(a.Peers()) >= enoughPeers })
	for _, p := range a.Peers() {
		if a.bootstrap[p.Key] {
			t.Errorf("%s was called, though the saved peers are there", p.Key)
		}
	}
	// One that is away when the node begins, and comes when strangers are all there is.
	addr := "/ip4/127.0.0.1/tcp/1" // nobody is there
	b := begin(2, []string{addr + "/p2p/" + idText(t, key(3))})
	until(t, "the configured ones", func() bool { return len(b.Peers()) >= enoughPeers })
	c := start(t, 3, nil)
	b.host.Peerstore().AddAddrs(c.host.ID(), c.host.Addrs(), peerstore.PermanentAddrTTL)
	b.book.Peer(c.key).Forgive() // time passes
	b.connectSome(t.Context())
	if !b.isConnected(c.host.ID()) {
		t.Error("a saved peer is not called when strangers are connected")
	}
}
