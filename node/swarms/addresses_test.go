package swarms

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTicketAddresses(t *testing.T) {
	local := []string{"/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1"}
	for _, test := range []struct {
		all, want []string
		reachable bool
	}{
		{nil, nil, false},
		{local, local, false},
		{append([]string{"/ip4/127.0.0.1/udp/1/quic-v1", "/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/tcp/1/p2p/12D3"}, local...), []string{"/ip4/192.0.2.1/tcp/1"}, true},
	} {
		got, reachable := ticketAddresses(test.all)
		if d := cmp.Diff(test.want, got); d != "" || reachable != test.reachable {
			t.Errorf("%v: reachable %v (-want +got)\n%s", test.all, reachable, d)
		}
	}
}
