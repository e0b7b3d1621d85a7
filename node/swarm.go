package node

import (
	"context"
	"errors"
	"slices"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/protocol"
)

// swarm answers OpSwarm: it shows the state of the public swarm, connects to a node, or changes the bootstrap peers.
func (h *handler) swarm(ctx context.Context, a protocol.SwarmArgs) (*protocol.SwarmStatus, error) {
	address := a.Address
	if protocol.IsTicket(address) {
		t, err := protocol.ParseTicket(address)
		if err == nil && (t.Node.IsZero() || len(t.Addresses) == 0) {
			err = errors.New("it has no key or no address")
		}
		if err != nil {
			return nil, protocol.Errorf(protocol.Invalid, "this ticket names no node: %w", err)
		}
		address = t.Addresses[0] + "/p2p/" + control.PeerID(t.Node)
	}
	var err error
	switch a.Action {
	case "":
	case protocol.ActionConnect:
		err = h.connect(ctx, address)
	case protocol.ActionAdd:
		err = h.addBootstrap(ctx, address)
	case protocol.ActionRemove:
		err = h.removeBootstrap(address)
	default:
		err = protocol.Errorf(protocol.Invalid, "swarm: unknown action %q", a.Action)
	}
	if err != nil {
		return nil, err
	}
	h.swarms.Wake()
	return h.swarmStatus(ctx), nil
}

// connect connects to a node, and asks for the newest heads of signers, which it may know.
func (h *handler) connect(ctx context.Context, address string) error {
	m, release, err := h.swarms.Enter(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := m.Connect(ctx, address); err != nil {
		return err
	}
	_, err = m.Statements(ctx, nil)
	return err
}

// addBootstrap adds a bootstrap peer to the configuration. The peer need not answer now.
func (h *handler) addBootstrap(ctx context.Context, address string) error {
	m, release, err := h.swarms.Enter(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := m.Connect(ctx, address); protocol.CodeOf(err) == protocol.Invalid {
		return err
	} else if err != nil {
		h.log.Warn("a bootstrap peer does not answer now", "address", address, "error", err)
	}
	bootstrap := h.config.Get().Bootstrap
	if slices.Contains(bootstrap, address) {
		return nil
	}
	return h.config.SetBootstrap(append(slices.Clone(bootstrap), address))
}

func (h *handler) removeBootstrap(address string) error {
	bootstrap := h.config.Get().Bootstrap
	if !slices.Contains(bootstrap, address) {
		return protocol.Errorf(protocol.NotFound, "%.200s is not a bootstrap peer", address).WithHint("list them: nuka swarm bootstrap")
	}
	return h.config.SetBootstrap(slices.DeleteFunc(slices.Clone(bootstrap), func(b string) bool { return b == address }))
}

func (h *handler) swarmStatus(ctx context.Context) *protocol.SwarmStatus {
	s := &protocol.SwarmStatus{Addresses: []string{}}
	if m := h.swarms.Public(ctx); m != nil {
		st := m.Status()
		s = &st
		s.Running = true
		addresses, _ := m.TicketAddresses()
		s.Ticket = (&protocol.Ticket{Node: h.key, Addresses: addresses}).String()
	}
	s.Bootstrap = h.config.Get().Bootstrap
	if s.Bootstrap == nil {
		s.Bootstrap = []string{}
	}
	return s
}
