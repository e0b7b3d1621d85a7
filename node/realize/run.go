package realize

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// maxTries bounds how often a PID is settled: once, and again each time a peer did not send content or the facts have changed.
const maxTries = 16

// run realizes one PID as the planner settles it.
func (g *graph) run(ctx context.Context, id pir.PID, t *task) error {
	d := g.known.description(id)
	t.name = d.name
	// Store the description first: if the PID was bound by other signers' claims while its name was unknown, the policy now judges it by its name.
	if err := g.describe(ctx, id, d); err != nil {
		return err
	}
	for tries := 0; ctx.Err() == nil; tries++ {
		if tries > maxTries {
			return protocol.Errorf(protocol.Internal, "%s is settled in another way each time", t.name)
		}
		s, err := g.settle(id)
		if err != nil {
			return err
		}
		var ok bool
		switch {
		case s.how == protocol.Reuse:
			if ok, err = g.known.here(id, s.cid); ok {
				t.cid, t.size, t.way = s.cid, s.word.size, protocol.Present
			} else if err == nil {
				g.changed(id) // the store had it a moment ago
			}
		case s.how == protocol.Receive:
			ok, err = g.receiveOrLose(ctx, id, t)
		case s.how == protocol.Keep && !s.resolved.IsZero():
			ok, err = g.keep(ctx, id, s, t)
		case s.how == protocol.Impossible && !g.known.peers:
			return s.d.err
		case s.how == protocol.Impossible:
			return g.bring(ctx, id, t)
		default:
			return g.make(ctx, id, s.d, t)
		}
		if ok || err != nil {
			return err
		}
	}
	return ctx.Err()
}

// receiveOrLose calls receive. If the content did not arrive, it makes the planner settle the PID in another way.
func (g *graph) receiveOrLose(ctx context.Context, id pir.PID, t *task) (bool, error) {
	ok, err := g.receive(ctx, id, t)
	if !ok && err == nil {
		err = g.lose(id)
	}
	return ok, err
}

// keep binds a PID to the content of its resolved PID. If the store does not have that content, keep receives it from peers.
func (g *graph) keep(ctx context.Context, id pir.PID, s *settled, t *task) (bool, error) {
	unlock, err := g.r.locks.lock(ctx, id)
	if err != nil {
		return false, err
	}
	defer unlock()
	if ok, err := g.find(id, t, protocol.Present); ok || err != nil {
		return ok, err
	}
	if ok, err := g.cutoff(ctx, id, s.resolved, s.p, t); ok || err != nil {
		return ok, err
	}
	if err := g.r.o.Store.PutPIR(ctx, s.resolved, s.text, nil); err != nil {
		return false, fmt.Errorf("keep pir: %w", err)
	}
	if ok, err := g.receiveOrLose(ctx, s.resolved, &task{name: t.name}); !ok || err != nil {
		return false, err
	}
	return g.cutoff(ctx, id, s.resolved, s.p, t)
}

// make realizes the inputs of a PID. If early cutoff then gives the PID a content, make keeps that; else it makes the content.
func (g *graph) make(ctx context.Context, id pir.PID, d *description, t *task) error {
	p := d.p
	contents, err := g.inputs(ctx, p)
	if err != nil {
		return err
	}
	unlock, err := g.r.locks.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	if ok, err := g.find(id, t, protocol.Present); ok || err != nil {
		return err // another request has made it meanwhile
	}
	resolved, resolvedText, err := p.Resolve(func(input pir.PID) (cid.CID, error) { return contents[input], nil })
	if err != nil {
		return err
	}
	if resolved != id {
		g.req.Lease.KeepPIDs(resolved)
		if ok, err := g.cutoff(ctx, id, resolved, p, t); ok || err != nil {
			return err
		}
		if g.mayAsk() && p.Kind.Builds() && !g.isLost(resolved) {
			if err := g.r.o.Store.PutPIR(ctx, resolved, resolvedText, nil); err != nil {
				return fmt.Errorf("keep pir: %w", err)
			}
			g.ask(ctx, []pir.PID{resolved})
			if ok, err := g.receive(ctx, resolved, &task{name: t.name}); err != nil {
				return err
			} else if ok {
				if ok, err := g.cutoff(ctx, id, resolved, p, t); ok || err != nil {
					return err
				}
			}
		}
	}
	if p.Kind.Builds() {
		if err := g.refer(ctx, p.Tools(), id); err != nil {
			return err
		}
	}
	w := &work{g: g, id: id, pir: p, canonical: d.canonical, origins: d.origins, contents: contents, name: t.name}
	made, err := w.run(ctx)
	if err != nil {
		if ctx.Err() == nil {
			g.event(protocol.Event{Kind: protocol.EventFail, PID: id, Name: t.name, What: p.Kind, Text: err.Error()})
		}
		return err
	}
	for _, bound := range slices.Compact([]pir.PID{resolved, id}) {
		if err := g.r.bind(ctx, bound, word{made.cid, made.refs, made.size}, pir.PID{}); err != nil {
			return fmt.Errorf("bind %s: %w", t.name, err)
		}
	}
	g.changed(id, resolved)
	t.cid, t.size, t.way = made.cid, made.size, made.way
	g.event(protocol.Event{Kind: protocol.EventDone, PID: id, Name: t.name, What: p.Kind, Way: t.way, CID: t.cid.String(), CPU: made.cpu.Milliseconds()})
	return nil
}

// describe stores the request's description of a PID: until now the store may know the PID alone, or have its PIR from a peer.
func (g *graph) describe(ctx context.Context, id pir.PID, d *description) error {
	if _, given := g.known.given[id]; !given {
		return nil
	}
	if d.err != nil {
		return d.err
	}
	if _, origins, err := g.r.o.Store.PIR(id); err == nil && origins != nil || err != nil && !errors.Is(err, cas.ErrNotFound) {
		return err
	}
	return g.r.o.Store.PutPIR(ctx, id, d.canonical, d.origins)
}

// find fills t if id is present. Another request may have made it present.
func (g *graph) find(id pir.PID, t *task, way protocol.Way) (bool, error) {
	content, ok, err := g.r.present(id)
	if !ok || err != nil {
		return false, err
	}
	w, err := g.r.word(id)
	if errors.Is(err, cas.ErrNotFound) || err == nil && w.cid != content {
		return false, nil // bound by another signer's claim, which does not count
	}
	if err != nil {
		return false, err
	}
	t.cid, t.size, t.way = content, w.size, way
	g.changed(id)
	return true, nil
}

// cutoff binds id to the content of the resolved PID, if that is present.
func (g *graph) cutoff(ctx context.Context, id, resolved pir.PID, p *pir.PIR, t *task) (bool, error) {
	ok, err := g.find(resolved, t, protocol.Cutoff)
	if !ok || err != nil {
		return false, err
	}
	w, err := g.r.word(resolved)
	if err != nil {
		return false, err
	}
	d, err := g.r.Decide(resolved)
	if err != nil {
		return false, err
	}
	via := resolved
	if d.Statement != nil && d.Statement.Signer == protocol.KeyOf(g.r.o.Key) {
		via = pir.PID{} // this node made it
	}
	if err := g.r.bind(ctx, id, w, via); err != nil {
		return false, fmt.Errorf("bind %s: %w", t.name, err)
	}
	g.changed(id)
	g.uncount(id)
	g.event(protocol.Event{
		Kind: protocol.EventDone, PID: id, Name: t.name, What: p.Kind, Way: protocol.Cutoff, CID: t.cid.String(), Same: resolved.String(),
	})
	return true, nil
}

// inputs realizes the inputs of p and returns their contents.
func (g *graph) inputs(ctx context.Context, p *pir.PIR) (map[pir.PID]cid.CID, error) {
	ids := p.Inputs()
	tasks := make([]*task, len(ids))
	for i, id := range ids {
		tasks[i] = g.start(ctx, id)
	}
	contents := make(map[pir.PID]cid.CID, len(ids))
	for i, t := range tasks {
		if err := t.wait(ctx); err != nil {
			return nil, err
		}
		contents[ids[i]] = t.cid
	}
	return contents, nil
}
