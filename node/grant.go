package node

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/MordragT/nuka/protocol"
)

// maxGrant is the longest time that a grant may be valid.
const maxGrant = 366 * 24 * time.Hour

// grant answers OpGrant: it makes tickets for light peers of other machines.
func (h *handler) grant(_ context.Context, a protocol.GrantArgs) (*protocol.Granted, error) {
	out := &protocol.Granted{}
	switch a.Action {
	case "":
	case protocol.ActionRemove:
		if err := h.grants.Remove(a.ID); err != nil {
			return nil, err
		}
	case protocol.ActionAdd:
		ticket, err := h.grantTicket(a)
		if err != nil {
			return nil, err
		}
		out.Ticket = ticket.String()
	default:
		return nil, protocol.Errorf(protocol.Invalid, "grant: unknown action %q", a.Action)
	}
	out.Grants = h.grants.List(time.Now())
	return out, nil
}

func (h *handler) grantTicket(a protocol.GrantArgs) (*protocol.Ticket, error) {
	if len(a.May) == 0 {
		return nil, protocol.Errorf(protocol.Invalid, "a ticket needs at least one right").WithHint("the rights are: %v", protocol.Rights())
	}
	for _, may := range a.May {
		if !slices.Contains(protocol.Rights(), may) {
			return nil, protocol.Errorf(protocol.Invalid, "%q is not a right", may).WithHint("the rights are: %v", protocol.Rights())
		}
	}
	if a.For <= 0 || a.For > maxGrant {
		return nil, protocol.Errorf(protocol.Invalid, "a ticket for %s: want at most %s", a.For, maxGrant)
	}
	addresses, err := controlAddresses(h.config.Get().Control)
	if err != nil {
		return nil, err
	}
	secret, err := h.grants.Add(a.May, time.Now().Add(a.For))
	if err != nil {
		return nil, err
	}
	return &protocol.Ticket{Node: h.key, Addresses: addresses, Right: secret}, nil
}

// controlAddresses returns the addresses at which light peers of other machines reach a node that listens at an address.
func controlAddresses(listen string) ([]string, error) {
	if listen == "" {
		return nil, protocol.Errorf(protocol.Unavailable, "this node answers calls of its own machine only").
			WithHint(`set control in its config.nuon, such as {control: "0.0.0.0:4718"}, and start it again: nuka daemon stop`)
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "setting control: %w", err)
	}
	format := func(a netip.Addr) string {
		family := "ip4"
		if a.Is6() {
			family = "ip6"
		}
		return fmt.Sprintf("/%s/%s/udp/%s/quic-v1", family, a, port)
	}
	at, err := netip.ParseAddr(host)
	if err != nil && host != "" {
		return []string{fmt.Sprintf("/dns/%s/udp/%s/quic-v1", host, port)}, nil
	}
	if err == nil && !at.IsUnspecified() {
		return []string{format(at.Unmap())}, nil
	}
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var own, loopback []string
	for _, a := range list {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		switch ip := prefix.Addr().Unmap(); {
		case ip.IsLoopback():
			loopback = append(loopback, format(ip))
		case !ip.IsLinkLocalUnicast():
			own = append(own, format(ip))
		}
	}
	return append(own, loopback...), nil
}
