package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/node/swarms"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// gotRoot begins the names of roots of content that a user got by its CID.
const gotRoot = "got/"

// share answers OpShare: it makes a package public, with all that it refers to, and returns a ticket for it.
func (h *handler) share(ctx context.Context, a protocol.PathArgs) (*protocol.Shared, error) {
	id, root, err := h.content(a.ID)
	if err != nil {
		return nil, err
	}
	if id.IsZero() {
		return nil, protocol.Errorf(protocol.Invalid, "share: %.60s is content, and no statement says what it is", a.ID).
			WithHint("share a package; nuka show lists those with this content")
	}
	m, release, err := h.swarms.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	closure, err := h.sharing.Share(ctx, id, root, h.realizer.Refs)
	if err != nil {
		return nil, err
	}
	h.swarms.Announce(closure...)
	h.swarms.Speak(ctx)
	addresses, reachable := m.TicketAddresses()
	t := &protocol.Ticket{PID: id, CID: root, Node: h.key, Addresses: addresses}
	shorten(t)
	return &protocol.Shared{Ticket: t.String(), Reachable: reachable}, nil
}

// ticketLength bounds the characters of a ticket that people paste.
const ticketLength = 300

// shorten takes addresses off the end of a ticket until it is short, and leaves one at least.
func shorten(t *protocol.Ticket) {
	for len(t.Addresses) > 1 && len(t.String()) >= ticketLength {
		t.Addresses = t.Addresses[:len(t.Addresses)-1]
	}
}

// get answers OpGet: it fetches from peers what a ticket, a PID or a CID names.
func (h *handler) get(ctx context.Context, r *request, a protocol.GetArgs) (*protocol.Realized, error) {
	want, err := h.wanted(a.What)
	if err != nil {
		return nil, err
	}
	if !a.Offline {
		m, release, err := h.swarms.Enter(ctx)
		if err != nil {
			return nil, err
		}
		defer release()
		if err := reach(ctx, m, a.What); err != nil {
			r.Event(protocol.Event{Kind: protocol.EventNote, PID: want.PID, Text: err.Error()})
		}
		if _, err := m.Statements(ctx, nil); err != nil {
			return nil, err
		}
	}
	lease := h.keepForCaller(r, "a command that has got it")
	lease.KeepPIDs(want.PID)
	lease.Keep(want.CID)
	if want.PID.IsZero() {
		return h.getContent(ctx, want.CID, a.Offline, r.Event)
	}
	realized, err := h.realizer.Realize(ctx, &realize.Request{Wanted: []pir.PID{want.PID}, Offline: a.Offline, Event: r.Event})
	if e := protocol.AsError(err); err != nil && e.Code == protocol.Unavailable && !want.Node.IsZero() &&
		!slices.Contains(h.policy.Get().Signers(), want.Node) {
		e.Message += "; the node of the ticket is " + want.Node.String() + ", whose statements do not count here"
		e.Hint = "if you trust it: nuka trust add " + want.Node.String()
		return nil, e
	}
	return realized, err
}

// wanted parses a ticket, a PID or a CID. If a ticket has a PID, the caller does not rely on its CID, which only the ticket's maker promises.
func (h *handler) wanted(what string) (*protocol.Ticket, error) {
	if protocol.IsTicket(what) {
		t, err := protocol.ParseTicket(what)
		if err != nil {
			return nil, protocol.Errorf(protocol.Invalid, "%w", err)
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
		return nil, protocol.Errorf(protocol.Unsupported, "get: %w", err).
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
func reach(ctx context.Context, m *swarms.Membership, what string) error {
	if !protocol.IsTicket(what) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := m.Connect(ctx, what); err != nil {
		return fmt.Errorf("the node of the ticket does not answer: %w", err)
	}
	return nil
}

// getContent fetches a tree by its CID: that needs no statement.
func (h *handler) getContent(ctx context.Context, root cid.CID, offline bool, event func(protocol.Event)) (*protocol.Realized, error) {
	way := protocol.Present
	missing, err := h.store.Missing(ctx, root)
	if err != nil && !errors.Is(err, cas.ErrNotFound) {
		return nil, cas.Coded(err)
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
			return nil, cas.Coded(err)
		}
		out.Size += e.Size
	}
	return &protocol.Realized{Outputs: []protocol.Output{out}, Counts: map[protocol.Way]int{way: 1}}, nil
}
