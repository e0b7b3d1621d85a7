package peers

import (
	"fmt"
	"testing"

	ma "github.com/multiformats/go-multiaddr"
)

// However many addresses somebody names for a peer, a few are called.
func TestManyAddresses(t *testing.T) {
	var addrs []ma.Multiaddr
	for i := range 5000 {
		for _, text := range []string{"/ip4/203.0.%d.%d/tcp/4717", "/ip4/10.0.%d.%d/tcp/4717", "/ip4/203.0.%d.%d/udp/4717/quic-v1"} {
			addrs = append(addrs, ma.StringCast(fmt.Sprintf(text, i>>8, i&255)))
		}
	}
	if got := rank(addrs); len(got) > maxDialled {
		t.Errorf("%d addresses are called", len(got))
	}
	if got := rank(addrs[:6]); len(got) != 6 {
		t.Errorf("got %d of 6 addresses", len(got))
	}
}
