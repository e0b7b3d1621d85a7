package realize

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// rule returns a policy rule for names, by which need of these nodes must agree.
func rule(names string, need int, seeds ...byte) protocol.Rule {
	r := trusting(need, seeds...).Rules[0]
	r.Names = names
	return r
}

func rules(list ...protocol.Rule) *protocol.Policy { return &protocol.Policy{Rules: list} }

// get realizes PIDs without descriptions, as `nuka get PID` does.
func (f *fixture) get(ids ...pir.PID) (*protocol.Realized, error) {
	return f.r.Realize(f.t.Context(), f.request(ids...))
}

// give realizes a PID with all descriptions that the fixture has, as `nuka build FILE` does.
func (f *fixture) give(id pir.PID) (*protocol.Realized, error) {
	req := f.request(id)
	req.Packages = f.given
	return f.r.Realize(f.t.Context(), req)
}

// The policy requires two signers for lib and one for any other name, and one signer lies about lib. The lie does not count, whether the node
// knows the name, learns it from the neighbour, or does not know it.
func TestPolicyByName(t *testing.T) {
	liar := newNode(t, 1, nil, nil)
	liar.builder.salt = func() string { return "evil" }
	lib := liar.build("lib", "l=L", nil)
	other := liar.build("other", "o=O", nil)
	evil := liar.realize(lib).Outputs[0].CID
	liar.realize(other)
	policy := rules(rule("lib", 2, 1, 2), rule("*", 1, 1))
	for name, c := range map[string]struct {
		old bool
		why string
	}{
		"PIRs travel":            {false, "the policy accepts no content for it: 1 of 2 required votes"},
		"PIRs are not to be had": {true, "this node does not know its name, so each rule that could match must agree; the rule for lib: 1 of 2 required votes"},
	} {
		t.Run(name, func(t *testing.T) {
			b, n := joined(t, policy, liar)
			n.old = c.old
			for range 2 { // the second time the PIR is known, which changes nothing
				_, err := b.get(lib)
				if protocol.CodeOf(err) != protocol.Unavailable || !strings.Contains(err.Error(), c.why) {
					t.Errorf("by its PID: got %v, want %q", err, c.why)
				}
			}
			if len(n.got) > 0 || b.builder.built.Load() > 0 {
				t.Errorf("fetched %v and built %d", n.got, b.builder.built.Load())
			}
			if got, err := b.get(other); !c.old && (err != nil || got.Outputs[0].Way != protocol.Received) {
				t.Errorf("other by its PID: %+v, %v", got, err)
			}
			b.build("lib", "l=L", nil)
			if got, err := b.give(lib); err != nil || got.Outputs[0].Way != protocol.Built || got.Outputs[0].CID == evil {
				t.Errorf("by its file: %+v, %v", got, err)
			}
		})
	}
}

// A policy by name needs no package file: the name is in the PIR, which peers send.
func TestPolicyByNameNeedsNoFile(t *testing.T) {
	a := newNode(t, 1, nil, nil)
	note := a.build("work-note", "n=N", nil)
	want := a.realize(note).Outputs[0].CID

	b, n := joined(t, rules(rule("work-*", 1, 1)), a)
	got, err := b.get(note)
	if err != nil || got.Outputs[0].CID != want || got.Outputs[0].Way != protocol.Received {
		t.Errorf("got %+v, %v", got, err)
	}
	if again, err := b.get(note); err != nil || again.Outputs[0].Way != protocol.Present || len(n.described) != 1 {
		t.Errorf("again: %+v, %v, and PIRs were asked for %d times", again, err, len(n.described))
	}

	b, n = joined(t, rules(rule("work-*", 1, 1)), a)
	n.old = true
	_, err = b.get(note)
	if err == nil || !strings.HasSuffix(err.Error(), "this node does not know its name, so no rule for names can apply") || protocol.AsError(err).Hint != "try: nuka build FILE" {
		t.Errorf("without its PIR: got %v", err)
	}
}

// The policy judges a reference by its name too, whichever package refers to it.
func TestPolicyByNameOfReference(t *testing.T) {
	honest, liar := newNode(t, 2, nil, nil), newNode(t, 1, nil, nil)
	app, lib, _ := chain(liar, "")
	liar.realize(app)
	policy := rules(rule("lib", 2, 1, 2), rule("*", 1, 1))

	b, n := joined(t, policy, liar)
	if _, err := b.get(app); protocol.CodeOf(err) != protocol.Unavailable || !strings.Contains(err.Error(), lib.Short()) {
		t.Errorf("got %v, want that lib cannot be had", err)
	}
	for _, got := range n.got {
		for id, err := range b.store.PIDs(got) {
			if err != nil || id == lib {
				t.Errorf("lib was fetched, %v", err)
			}
		}
	}
	honest.realize(first(chain(honest, "")))
	b, _ = joined(t, policy, liar, honest)
	if got, err := b.get(app); err != nil || got.Outputs[0].Way != protocol.Received {
		t.Errorf("with two for lib: %+v, %v", got, err)
	}
	if closure, err := b.r.Closure(app); err != nil || len(closure) != 3 {
		t.Errorf("closure %v, %v", closure, err)
	}
}

// If a node has content by its PID alone, the current policy judges it again, both before and after the name becomes known.
func TestPolicyByNameLater(t *testing.T) {
	liar := newNode(t, 1, nil, nil)
	liar.builder.salt = func() string { return "evil" }
	lib := liar.build("lib", "l=L", nil)
	evil := liar.realize(lib).Outputs[0].CID
	b, n := joined(t, trusting(1, 1), liar)
	n.old = true
	if got, err := b.get(lib); err != nil || got.Outputs[0].CID != evil {
		t.Fatalf("by the rule for all: %+v, %v", got, err)
	}
	b.policy = rules(rule("lib", 2, 1, 2), rule("*", 1, 1))
	if _, err := b.get(lib); protocol.CodeOf(err) != protocol.Unavailable {
		t.Errorf("with another policy: got %v", err)
	}
	if _, err := b.r.Closure(lib); err == nil {
		t.Error("what does not count any more is given to programs")
	}
	b.build("lib", "l=L", nil)
	if got, err := b.give(lib); err != nil || got.Outputs[0].Way != protocol.Built || got.Outputs[0].CID == evil {
		t.Errorf("by its file: %+v, %v", got, err)
	}

	// Programs get the content that the current policy accepts, or none.
	honest := newNode(t, 2, nil, nil)
	honest.build("lib", "l=L", nil)
	honest.realize(lib)
	c, _ := joined(t, trusting(1, 1), liar, honest)
	if _, err := c.get(lib); err != nil {
		t.Fatal(err)
	}
	for a, err := range honest.store.Attestations(lib) {
		if err = errors.Join(err, c.store.PutAttestations(t.Context(), a)); err != nil {
			t.Fatal(err)
		}
	}
	c.policy = trusting(1, 2)
	if got, err := c.r.Closure(lib); err == nil {
		t.Errorf("got %v, want no content of the liar's", got)
	}
}

// From the answers of peers the node keeps only canonical PIRs of the PIDs that it asked for.
func TestPIRLies(t *testing.T) {
	a := newNode(t, 1, nil, nil)
	id := a.build("lib", "l=L", nil)
	a.realize(id)
	another := a.build("another", "x=X", nil)
	canonical := func(id pir.PID) []byte {
		for _, p := range a.given {
			if pir.Sum([]byte(p.PIR)) == id {
				return []byte(p.PIR)
			}
		}
		return nil
	}
	loose := append([]byte(" "), canonical(id)...)
	looseID := pir.Sum(loose)
	b, n := joined(t, rules(rule("lib", 1, 1)), a)
	n.old = true
	n.lies = map[pir.PID][]byte{id: canonical(another), looseID: loose, another: canonical(another)}
	for _, id := range []pir.PID{id, looseID} {
		if _, err := b.get(id); protocol.CodeOf(err) != protocol.Unavailable {
			t.Errorf("got %v", err)
		}
	}
	for _, id := range []pir.PID{id, looseID, another} {
		if b.r.described(id) {
			t.Errorf("%s has a description", id)
		}
	}
}

// The node does not ask for the PIRs of packages that the request describes, so their names cost no round trip.
func TestKnownNamesAreNotAsked(t *testing.T) {
	a := newNode(t, 1, nil, nil)
	a.realize(first(chain(a, "")))
	b, n := joined(t, rules(rule("zlib", 2, 1, 2), rule("*", 1, 1)), a)
	app, _, _ := chain(b, "")
	if got := b.realize(app); got.Outputs[0].Way != protocol.Received {
		t.Errorf("got %+v", got.Outputs[0])
	}
	if len(n.described) > 0 {
		t.Errorf("PIRs of %v were asked for", n.described)
	}
}

// If a PIR exceeds the bound of a request, the node does not keep it, and the request continues.
func TestLearnedIsBounded(t *testing.T) {
	a := newNode(t, 1, nil, nil)
	id := a.build("lib", "l=L", nil)
	a.realize(id)
	b, _ := joined(t, trusting(1, 1), a)
	g, err := newGraph(b.r, b.request(id))
	if err != nil {
		t.Fatal(err)
	}
	g.learned.Store(maxLearned - 1)
	g.ask(t.Context(), []pir.PID{id})
	if b.r.described(id) {
		t.Error("it was kept")
	}
	if w, err := b.r.word(id); err != nil || w.cid == (cid.CID{}) {
		t.Errorf("its statement: %v", err)
	}
}

// endless is a trusted signer that states, for each package, a reference to one more package, or to very many.
type endless struct {
	*neighbours
	width int
	n     int
	of    map[pir.PID][]pir.PID
	root  cid.CID
}

func (e *endless) Statements(_ context.Context, ids []pir.PID) (all []protocol.Attestation, err error) {
	for _, id := range ids {
		if e.of[id] == nil {
			for range e.width {
				e.n++
				e.of[id] = append(e.of[id], pir.Sum(fmt.Append(nil, "reference ", e.n)))
			}
		}
		a := protocol.Attestation{PID: id, CID: e.root, Refs: protocol.SortRefs(slices.Clone(e.of[id])), Issued: time.Unix(1_700_000_000, 0)}
		if err := a.Sign(nodeKey(1)); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

func TestEndlessReferences(t *testing.T) {
	for width := range map[int]bool{1: true, 1000: true} {
		a := newNode(t, 1, nil, nil)
		id := a.build("lib", "l=L", nil)
		got := a.realize(id)
		root, err := cid.Parse(got.Outputs[0].CID)
		if err != nil {
			t.Fatal(err)
		}
		e := &endless{neighbours: &neighbours{nodes: []*fixture{a}, old: true}, width: width, of: map[pir.PID][]pir.PID{}, root: root}
		b := newNode(t, 100, e, trusting(1, 1))
		e.to = b
		b.r.o.MaxReferences = 50
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err = b.r.Realize(ctx, b.request(id))
		cancel()
		if protocol.CodeOf(err) != protocol.Exhausted {
			t.Errorf("%d references each: got %v", width, err)
		}
		if len(e.asked) > 0 || e.n > 60*width {
			t.Errorf("%d references each: %d were followed", width, e.n/width)
		}
	}
}
