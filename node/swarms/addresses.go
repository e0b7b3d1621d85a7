package swarms

import (
	"slices"
	"strings"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/protocol"
)

// maxAddresses bounds the addresses of a ticket.
const maxAddresses = 16

// TicketAddresses returns the addresses for a ticket, and whether one of them can be reached from other machines.
func (m *Membership) TicketAddresses() (addresses []string, reachable bool) {
	return ticketAddresses(m.Addresses())
}

// ticketAddresses chooses the addresses that a ticket carries. It takes addresses of this machine alone only if there are no others.
func ticketAddresses(all []string) (addresses []string, reachable bool) {
	var local []string
	for _, a := range all {
		a, _, _ = strings.Cut(a, "/p2p/")
		if strings.HasPrefix(a, "/ip4/127.") || strings.HasPrefix(a, "/ip6/::1/") {
			local = append(local, a)
		} else if !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
	}
	if len(addresses) > 0 {
		return addresses[:min(len(addresses), maxAddresses)], true
	}
	return slices.Compact(local[:min(len(local), maxAddresses)]), false
}

// addressesIn returns the addresses of this node in a mesh.
func (s *Set) addressesIn(mesh string) []string {
	m := s.member(mesh)
	if m == nil {
		return nil
	}
	addresses, _ := m.TicketAddresses()
	for i, a := range addresses {
		addresses[i] = a + "/p2p/" + control.PeerID(protocol.KeyOf(s.o.Key))
	}
	return addresses
}
