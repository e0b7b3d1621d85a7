package node

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

// maxSimilar bounds the similar packages of an explanation.
const maxSimilar = 5

// explain answers OpExplain: it explains, from statements and inputs, why a PID has its content or has none.
func (h *handler) explain(ctx context.Context, r *request, a protocol.PathArgs) (*protocol.Explanation, error) {
	id, _, err := h.object(a.ID)
	if err != nil {
		return nil, err
	}
	if id.IsZero() {
		return nil, protocol.Errorf(protocol.Invalid, "explain: %.60s is a CID, and only a PID has reasons", a.ID).WithHint("give a PID; nuka show lists those with this content")
	}
	realizer, err := h.realizerOf(r)
	if err != nil {
		return nil, err
	}
	d, err := realizer.Decide(id)
	if err != nil {
		return nil, err
	}
	e := &protocol.Explanation{
		PID: id, Why: d.Why, Need: d.Need, Missing: d.Missing,
		Votes: []protocol.ExplainVote{}, Inputs: []protocol.ExplainItem{}, Similar: []protocol.Similar{},
	}
	vote(e, d)
	if c, err := h.store.CID(id); err == nil {
		e.CID = c.String()
		e.Way = protocol.Received
		if d.Statement != nil && d.Statement.Signer == h.key {
			e.Way = protocol.Built
		}
		if e.Rests, err = realizer.RestsOn(id, c); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, cas.ErrNotFound) {
		return nil, err
	} else if e.Plan, err = realizer.Plan(ctx, &realize.Request{Wanted: []pir.PID{id}, NoAsk: true}); err != nil {
		return nil, err
	}
	canonical, _, err := h.store.PIR(id)
	if errors.Is(err, cas.ErrNotFound) {
		return e, nil
	}
	if err != nil {
		return nil, err
	}
	p, err := pir.Decode(canonical)
	if err != nil {
		return nil, err
	}
	e.Name = p.Name
	if p.Version != "" {
		e.Name += " " + p.Version
	}
	if e.Way == protocol.Built && p.Kind == pir.Fetch {
		e.Way, e.Why = protocol.Fetched, "this node has fetched it from its origin and compared it with its hash"
	}
	if err := h.explainInputs(e, p); err != nil {
		return nil, err
	}
	return e, h.explainSimilar(ctx, e, p, canonical)
}

// vote adds the statement of each signer.
func vote(e *protocol.Explanation, d *protocol.Decision) {
	for _, v := range d.Votes {
		e.Votes = append(e.Votes, protocol.ExplainVote{
			Signer: v.Signer, Label: v.Label, CID: v.CID.String(), Counts: v.Counts, Because: v.Because, Ahead: v.Ahead,
		})
	}
}

// explainInputs adds the inputs, and the content of the resolved PIR.
func (h *handler) explainInputs(e *protocol.Explanation, p *pir.PIR) error {
	names := map[pir.PID]string{}
	for name, id := range p.Packages {
		names[id] = name
	}
	if !p.Runtime.IsZero() {
		names[p.Runtime] = "runtime"
	}
	if !p.Recording.IsZero() {
		names[p.Recording] = "recording"
	}
	contents := map[pir.PID]cid.CID{}
	for _, id := range p.Inputs() {
		item := protocol.ExplainItem{Name: names[id], PID: id}
		if item.Name == "" {
			item.Name = "src"
		}
		c, err := h.store.CID(id)
		if err == nil {
			contents[id] = c
			item.CID = c.String()
		} else if !errors.Is(err, cas.ErrNotFound) {
			return err
		}
		e.Inputs = append(e.Inputs, item)
	}
	if len(contents) < len(e.Inputs) || len(contents) == 0 {
		return nil
	}
	resolved, _, err := p.Resolve(func(id pir.PID) (cid.CID, error) { return contents[id], nil })
	if err != nil {
		return err
	}
	e.Resolved = resolved.String()
	c, err := h.store.CID(resolved)
	if err == nil {
		e.ResolvedCID = c.String()
	} else if !errors.Is(err, cas.ErrNotFound) {
		return err
	}
	// A PID whose content follows from the resolved PID has no votes of its own.
	if len(e.Votes) == 0 && e.CID != "" && e.CID == e.ResolvedCID {
		d, err := h.realizer.Decide(resolved)
		if err != nil {
			return err
		}
		e.Why = "its inputs have the content of another description that was realized: " + d.Why
		vote(e, d)
	}
	return nil
}

// explainSimilar adds how this description differs from others of the same name and version that have content.
func (h *handler) explainSimilar(ctx context.Context, e *protocol.Explanation, p *pir.PIR, canonical []byte) error {
	if !p.Kind.HasInputs() {
		return nil
	}
	for b, err := range h.store.Bindings() {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if b.PID == e.PID || b.PID.String() == e.Resolved || len(e.Similar) >= maxSimilar {
			continue
		}
		other, _, err := h.store.PIR(b.PID)
		if err != nil {
			continue // only its content is here
		}
		q, err := pir.Decode(other)
		if err != nil || q.Name != p.Name || q.Version != p.Version || q.Kind != p.Kind {
			continue
		}
		differ, err := differences(canonical, other)
		if err != nil {
			return err
		}
		e.Similar = append(e.Similar, protocol.Similar{PID: b.PID, CID: b.CID.String(), Differ: differ})
	}
	return nil
}

// differences names the fields in which two PIRs differ, and each entry of packages, src, build and env.
func differences(a, b []byte) ([]string, error) {
	x, err := nuon.DecodeRecord(a)
	if err != nil {
		return nil, err
	}
	y, err := nuon.DecodeRecord(b)
	if err != nil {
		return nil, err
	}
	var fields []string
	compare := func(prefix string, x, y nuon.Record) {
		keys := map[string]bool{}
		for k := range x {
			keys[k] = true
		}
		for k := range y {
			keys[k] = true
		}
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			if !reflect.DeepEqual(x[k], y[k]) {
				fields = append(fields, prefix+k)
			}
		}
	}
	for _, nested := range []string{"packages", "src", "build", "env"} {
		r, ok1 := x[nested].(nuon.Record)
		s, ok2 := y[nested].(nuon.Record)
		if ok1 && ok2 {
			compare(nested+".", r, s)
			delete(x, nested)
			delete(y, nested)
		}
	}
	compare("", x, y)
	return fields, nil
}
