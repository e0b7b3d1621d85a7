package node

import (
	"context"
	"errors"
	"time"

	"github.com/MordragT/nuka/protocol"
)

// mesh answers OpMesh: it shows the meshes of the node, and makes, joins, invites to or leaves one.
func (h *handler) mesh(ctx context.Context, a protocol.MeshArgs) (*protocol.Meshes, error) {
	out, now, all := &protocol.Meshes{}, time.Now(), h.meshes
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

// invite makes a ticket that lets nodes into a mesh. They show it in the public swarm, which this node is in from now on: a node that is no
// member yet cannot speak in the mesh.
func (h *handler) invite(ctx context.Context, a protocol.MeshArgs) (string, error) {
	token, err := h.meshes.Invite(a.Name, a.Member, a.Invites, a.For, time.Now())
	if err != nil {
		return "", err
	}
	m, release, err := h.swarms.Enter(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	addresses, _ := m.TicketAddresses()
	return (&protocol.Ticket{Node: h.key, Addresses: addresses, Mesh: a.Name, Right: token}).String(), nil
}

// joinMesh shows the invitation of a ticket to the node that made it.
func (h *handler) joinMesh(ctx context.Context, a protocol.MeshArgs) (string, error) {
	t, err := protocol.ParseTicket(a.Ticket)
	if err == nil && (t.Mesh == "" || len(t.Right) == 0) {
		err = errors.New("the ticket is for something else")
	}
	if err != nil {
		return "", protocol.Errorf(protocol.Invalid, "this ticket is not an invitation to a mesh: %w", err).WithHint("ask a member for one: nuka mesh invite NAME")
	}
	m, release, err := h.swarms.Enter(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	answer, err := showInvitation(t.Right, protocol.MemberName(a.Member), func(request []byte) ([]byte, error) {
		return m.Join(ctx, a.Ticket, request)
	})
	if err != nil {
		return "", err
	}
	return h.meshes.Joined(answer, time.Now())
}

// showInvitation sends a token with the name of this node. A node of an earlier version refuses a request with a name before it looks at the
// token, so showInvitation then sends the token without the name.
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
