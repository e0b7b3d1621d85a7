package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// gotRoot begins the names of roots of content that was got by its CID.
const gotRoot = "got/"

// share makes a package public, with all that it refers to, and returns the ticket for it.
func (h *handler) share(ctx context.Context, a protocol.PathArgs) (*protocol.Shared, error) {
	id, root, err := h.content(a.ID)
	if err != nil {
		return nil, err
	}
	if id.IsZero() {
		return nil, protocol.Errorf(protocol.Invalid, "share: %.60s is content without a package", a.ID).
			WithHint("share a package; nuka show lists those with this content")
	}
	m, release, err := h.swarms.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	closure, err := h.sharing.shareClosure(ctx, id, root, h.realizer.Refs)
	if err != nil {
		return nil, err
	}
	h.swarms.Announce(closure...)
	h.swarms.speak(ctx)
	addresses, reachable := ticketAddresses(m.swarm.Addresses())
	t := &protocol.Ticket{PID: id, CID: root, Node: h.key, Addresses: addresses}
	shorten(t)
	return &protocol.Shared{Ticket: t.String(), Reachable: reachable}, nil
}

const (
	// mostAddresses bounds the addresses of any ticket.
	mostAddresses = 16
	// ticketLength bounds the characters of a ticket that people paste.
	ticketLength = 300
)

// ticketAddresses chooses the addresses that a ticket carries, and says whether one is of more than this machine.
// Addresses of this machine alone are of use only where there are no others.
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
		return addresses[:min(len(addresses), mostAddresses)], true
	}
	return slices.Compact(local[:min(len(local), mostAddresses)]), false
}

// shorten takes addresses off the end of a ticket until it is short, and leaves one at least.
func shorten(t *protocol.Ticket) {
	for len(t.Addresses) > 1 && len(t.String()) >= ticketLength {
		t.Addresses = t.Addresses[:len(t.Addresses)-1]
	}
}

// get makes present what a ticket, a PID or a CID names, by what others have.
func (h *handler) get(ctx context.Context, a protocol.GetArgs, event func(protocol.Event)) (*protocol.Realized, error) {
	want, err := h.wanted(a.What)
	if err != nil {
		return nil, err
	}
	if !a.Offline {
		m, release, err := h.swarms.enter(ctx)
		if err != nil {
			return nil, err
		}
		defer release()
		if err := reach(ctx, m.swarm, a.What); err != nil {
			event(protocol.Event{Kind: protocol.EventNote, PID: want.PID, Text: err.Error()})
		}
		if _, err := m.swarm.Statements(ctx, nil); err != nil {
			return nil, err
		}
	}
	if want.PID.IsZero() {
		return h.getContent(ctx, want.CID, a.Offline, event)
	}
	realized, err := h.realizer.Realize(ctx, &realize.Request{Wanted: []pir.PID{want.PID}, Offline: a.Offline, Event: event})
	if e := protocol.AsError(err); err != nil && e.Code == protocol.Unavailable && !want.Node.IsZero() &&
		!slices.Contains(h.policy.Get().Signers(), want.Node) {
		e.Message += "; the node of the ticket is " + want.Node.String() + ", whose statements do not count here"
		e.Hint = "if you trust it: nuka trust add " + want.Node.String()
		return nil, e
	}
	return realized, err
}

// wanted reads what is to be got. A ticket's CID is a promise of whoever made it, and is not relied on.
func (h *handler) wanted(what string) (*protocol.Ticket, error) {
	if protocol.IsTicket(what) {
		t, err := protocol.ParseTicket(what)
		if err != nil {
			return nil, protocol.Errorf(protocol.Invalid, "%v", err)
		}
		if t.PID.IsZero() && t.CID.IsZero() {
			return nil, protocol.Errorf(protocol.Invalid, "this ticket names no package and no content").
				WithHint("a ticket with a right is for: nuka --node TICKET, or nuka mesh join TICKET")
		}
		return t, nil
	}
	if c, err := cid.Parse(what); err == nil {
		return &protocol.Ticket{CID: c}, nil
	}
	p, err := pir.ParsePID(what)
	if err == nil {
		return &protocol.Ticket{PID: p}, nil
	}
	c, rest, err := cid.ParseForm(what)
	switch {
	case errors.Is(err, cid.ErrForeign):
		return nil, protocol.Errorf(protocol.Unsupported, "get: %v", err).
			WithHint("nuka fetches CIDs with BLAKE3 and the codec raw or dag-pb, as nuka show prints them; use an IPFS client for others")
	case err == nil && rest != "":
		return nil, protocol.Errorf(protocol.Invalid, "get: %q is a path in %s", rest, c).WithHint("nuka get %s; then nuka cat %s %s", c, c, rest)
	case err == nil:
		return &protocol.Ticket{CID: c}, nil
	}
	return nil, protocol.Errorf(protocol.Invalid, "get: %.80q is not a ticket, a PID or a CID", what).
		WithHint("another node makes a ticket with: nuka share PKG")
}

// reach connects to the node of a ticket.
func reach(ctx context.Context, w network, what string) error {
	if !protocol.IsTicket(what) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := w.Connect(ctx, what); err != nil {
		return fmt.Errorf("the node of the ticket does not answer: %w", err)
	}
	return nil
}

// getContent makes a tree present that is named by its CID: it needs nobody's word.
func (h *handler) getContent(ctx context.Context, root cid.CID, offline bool, event func(protocol.Event)) (*protocol.Realized, error) {
	way := protocol.Present
	missing, err := h.store.Missing(ctx, root)
	if err != nil && !errors.Is(err, cas.ErrNotFound) {
		return nil, storeErr(err)
	}
	if err != nil || len(missing) > 0 {
		if offline {
			return nil, protocol.Errorf(protocol.Offline, "%s is not in the store", root).WithHint("ask without --offline")
		}
		way = protocol.Received
		err := h.swarms.Fetch(ctx, pir.PID{}, root, 0, func(done, total int64) {
			event(protocol.Event{Kind: protocol.EventProgress, Name: root.String(), What: pir.Fetch, Done: done, Total: total})
		})
		if err != nil {
			return nil, err
		}
	}
	if err := h.store.PutRoot(ctx, cas.Root{Name: gotRoot + root.String(), CID: root, Created: time.Now()}); err != nil {
		return nil, err
	}
	out := protocol.Output{CID: root.String(), Name: root.String(), Way: way}
	for e, err := range h.store.Entries(ctx, root) {
		if err != nil {
			return nil, storeErr(err)
		}
		out.Size += e.Size
	}
	return &protocol.Realized{Outputs: []protocol.Output{out}, Counts: map[protocol.Way]int{way: 1}}, nil
}

// mesh answers OpMesh.
func (h *handler) mesh(ctx context.Context, a protocol.MeshArgs) (*protocol.Meshes, error) {
	out, now, all := &protocol.Meshes{}, time.Now(), h.swarms.meshes
	var err error
	switch a.Action {
	case "":
	case protocol.ActionCreate:
		err = all.Create(a.Name, a.Member, now)
	case protocol.ActionInvite:
		out.Ticket, err = h.invite(ctx, a)
	case protocol.ActionJoin:
		a.Name, err = h.joinMesh(ctx, a)
	case protocol.ActionLeave:
		if err = all.Leave(a.Name); err == nil {
			a.Name = ""
		}
	case protocol.ActionRevoke:
		if a.Offer != "" {
			err = all.RevokeOffer(a.Name, a.Offer, now)
		} else {
			err = all.Revoke(a.Name, a.Key)
		}
	default:
		err = protocol.Errorf(protocol.Invalid, "mesh: unknown action %q", a.Action)
	}
	if err != nil {
		return nil, err
	}
	if out.Meshes, err = all.Status(a.Name, now); err != nil {
		return nil, err
	}
	for i := range out.Meshes {
		for _, p := range h.swarms.Peers() {
			if p.Mesh == out.Meshes[i].Name {
				out.Meshes[i].Peers++
			}
		}
	}
	return out, nil
}

// invite makes a ticket that lets one node into a mesh. It is shown in the public swarm, which this node is in from now
// on: a node that is not yet a member cannot be heard in the mesh.
func (h *handler) invite(ctx context.Context, a protocol.MeshArgs) (string, error) {
	token, err := h.swarms.meshes.Invite(a.Name, a.Member, a.Invites, a.For, time.Now())
	if err != nil {
		return "", err
	}
	m, release, err := h.swarms.enter(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	addresses, _ := ticketAddresses(m.swarm.Addresses())
	return (&protocol.Ticket{Node: h.key, Addresses: addresses, Mesh: a.Name, Right: token}).String(), nil
}

// joinMesh shows the invitation of a ticket to the node that has made it.
func (h *handler) joinMesh(ctx context.Context, a protocol.MeshArgs) (string, error) {
	t, err := protocol.ParseTicket(a.Ticket)
	if err != nil || t.Mesh == "" || len(t.Right) == 0 {
		return "", protocol.Errorf(protocol.Invalid, "this ticket is not an invitation to a mesh (%v)", err).WithHint("ask a member for one: nuka mesh invite NAME")
	}
	m, release, err := h.swarms.enter(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	answer, err := showInvitation(t.Right, protocol.MemberName(a.Member), func(request []byte) ([]byte, error) {
		return m.swarm.Join(ctx, a.Ticket, request)
	})
	if err != nil {
		return "", err
	}
	return h.swarms.meshes.Joined(answer, time.Now())
}

// showInvitation has a token sent with the name of this node. A node of an earlier version takes no request with a name, and has not
// looked at the token then: it is sent again without.
func showInvitation(token []byte, name string, send func(request []byte) ([]byte, error)) ([]byte, error) {
	request, err := (&protocol.JoinRequest{Token: token, Name: name}).Encode()
	if err != nil {
		return nil, err
	}
	answer, err := send(request)
	if protocol.CodeOf(err) == protocol.Denied && name != "" {
		return showInvitation(token, "", send)
	}
	return answer, err
}

// swarm answers OpSwarm.
func (h *handler) swarm(ctx context.Context, a protocol.SwarmArgs) (*protocol.SwarmStatus, error) {
	address := a.Address
	if protocol.IsTicket(address) {
		t, err := protocol.ParseTicket(address)
		if err != nil || t.Node.IsZero() || len(t.Addresses) == 0 {
			return nil, protocol.Errorf(protocol.Invalid, "this ticket names no node (%v)", err)
		}
		address = t.Addresses[0] + "/p2p/" + control.PeerID(t.Node)
	}
	bootstrap := h.config.Get().Bootstrap
	switch a.Action {
	case "":
	case protocol.ActionConnect:
		m, release, err := h.swarms.enter(ctx)
		if err != nil {
			return nil, err
		}
		defer release()
		if err := m.swarm.Connect(ctx, address); err != nil {
			return nil, err
		}
		if _, err := m.swarm.Statements(ctx, nil); err != nil { // it may know what signers have said since
			return nil, err
		}
	case protocol.ActionAdd:
		m, release, err := h.swarms.enter(ctx)
		if err != nil {
			return nil, err
		}
		defer release()
		if err := m.swarm.Connect(ctx, address); protocol.CodeOf(err) == protocol.Invalid {
			return nil, err
		} else if err != nil {
			h.swarms.log.Warn("a bootstrap peer does not answer", "address", address, "error", err)
		}
		if !slices.Contains(bootstrap, address) {
			if err := h.config.SetBootstrap(append(slices.Clone(bootstrap), address)); err != nil {
				return nil, err
			}
		}
	case protocol.ActionRemove:
		if !slices.Contains(bootstrap, address) {
			return nil, protocol.Errorf(protocol.NotFound, "%.200s is not a bootstrap peer", address).WithHint("list them: nuka swarm bootstrap")
		}
		rest := slices.DeleteFunc(slices.Clone(bootstrap), func(b string) bool { return b == address })
		if err := h.config.SetBootstrap(rest); err != nil {
			return nil, err
		}
	default:
		return nil, protocol.Errorf(protocol.Invalid, "swarm: unknown action %q", a.Action)
	}
	h.swarms.wake()
	return h.swarmStatus(ctx), nil
}

func (h *handler) swarmStatus(ctx context.Context) *protocol.SwarmStatus {
	h.swarms.begun(ctx)
	s := &protocol.SwarmStatus{Addresses: []string{}}
	for _, m := range h.swarms.all() {
		if m.name == "" {
			st := m.swarm.Status()
			s = &st
			s.Running = true
			addresses, _ := ticketAddresses(m.swarm.Addresses())
			s.Ticket = (&protocol.Ticket{Node: h.key, Addresses: addresses}).String()
		}
	}
	s.Bootstrap = h.config.Get().Bootstrap
	if s.Bootstrap == nil {
		s.Bootstrap = []string{}
	}
	return s
}
