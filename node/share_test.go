package node

import (
	"fmt"
	"testing"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A ticket of a node with many addresses stays short, and keeps one address however long that is.
func TestShorten(t *testing.T) {
	ticket := &protocol.Ticket{PID: pir.Sum([]byte("a")), CID: cid.Sum(cid.DagPB, []byte("b")), Node: protocol.Key{1}}
	for i := range 16 {
		ticket.Addresses = append(ticket.Addresses, fmt.Sprintf("/ip6/2001:db8::%d:1234:5678:9abc/udp/4717/quic-v1", i+1))
	}
	shorten(ticket)
	if n := len(ticket.String()); n >= ticketLength || len(ticket.Addresses) < 3 {
		t.Errorf("%d characters with %d addresses", n, len(ticket.Addresses))
	}
	ticket.Addresses = []string{"/dns4/" + string(make([]byte, 400)) + "/tcp/1", "/ip4/192.0.2.1/tcp/1"}
	if shorten(ticket); len(ticket.Addresses) != 1 {
		t.Errorf("got %q", ticket.Addresses)
	}
}

// A node of an earlier version refuses a request that has a name, and resets the stream.
func TestShowInvitationToEarlier(t *testing.T) {
	const earlier = `{"join":1,"token":0x[0102]}` // the only request that it accepts
	refusal := protocol.Errorf(protocol.Denied, "stream reset")
	for name, want := range map[string]struct {
		takes string
		sent  int
		err   bool
	}{"": {earlier, 1, false}, "laptop": {earlier, 2, false}, "phone": {"", 2, true}} {
		sent := 0
		answer, err := showInvitation([]byte{1, 2}, name, func(request []byte) ([]byte, error) {
			if sent++; string(request) != want.takes {
				return nil, refusal
			}
			return []byte("in"), nil
		})
		if sent != want.sent || (err != nil) != want.err || err == nil && string(answer) != "in" {
			t.Errorf("%q: sent %d times, got %q, %v", name, sent, answer, err)
		}
	}
}
