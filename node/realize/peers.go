package realize

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// Peers is the set of operations on other nodes that a Realizer needs.
type Peers interface {
	// Statements returns the attestations of other signers about PIDs, in any order. It has verified their signatures.
	// A PID without an answer has none in the result. Statements uses as few round trips as it can.
	Statements(ctx context.Context, ids []pir.PID) ([]protocol.Attestation, error)
	// PIRs returns the canonical bytes of those PIRs of PIDs that peers send. The Realizer verifies them.
	PIRs(ctx context.Context, ids []pir.PID) (map[pir.PID][]byte, error)
	// Fetch makes the tree below root, the expected content of id, present in the store. Size bounds the tree in bytes; 0 means no bound.
	Fetch(ctx context.Context, id pir.PID, root cid.CID, size int64, progress func(done, total int64)) error
	// Announce notes that the store now has the content of these PIDs.
	Announce(ids ...pir.PID)
}

// A word is a claim: the content that this node accepts for a PID, from its own attestation or from the policy.
type word struct {
	cid  cid.CID
	refs []pir.PID
	size int64
}

// word returns the claim that counts for a PID. If there is none, the error is cas.ErrNotFound.
func (r *Realizer) word(id pir.PID) (word, error) { return r.wordBy(id, r.stored) }

// stored returns the PIR of a PID from the store, whether a request or a peer gave it; nil if there is none.
func (r *Realizer) stored(id pir.PID) *pir.PIR {
	canonical, _, err := r.o.Store.PIR(id)
	if err != nil {
		return nil
	}
	p, err := pir.Decode(canonical)
	if err != nil {
		return nil
	}
	return p
}

// wordBy is word with a function that returns the PIR whose name the policy judges by.
func (r *Realizer) wordBy(id pir.PID, named func(pir.PID) *pir.PIR) (word, error) {
	q, err := r.question(id)
	if err != nil {
		return word{}, err
	}
	own, via := newestOwn(q)
	if own != nil {
		return word{own.CID, own.Refs, own.Size}, nil
	}
	if via != nil {
		w, err := r.wordBy(via.Via, named) // the claim about it may no longer count
		if err == nil && w.cid == via.CID {
			return w, nil
		}
		if err != nil && !errors.Is(err, cas.ErrNotFound) {
			return word{}, err
		}
	}
	d := r.decide(q, named)
	if d.Statement == nil {
		return word{}, cas.ErrNotFound
	}
	return word{d.CID, d.Refs, d.Statement.Size}, nil
}

// newestOwn returns the node's newest attestation of its own work, and its newest one that rests on the claim about another PID.
func newestOwn(q *protocol.Question) (own, via *protocol.Attestation) {
	for i := range q.Statements {
		a := &q.Statements[i]
		switch {
		case a.Signer != q.Own:
		case a.Via.IsZero() && (own == nil || a.Issued.After(own.Issued)):
			own = a
		case !a.Via.IsZero() && (via == nil || a.Issued.After(via.Issued)):
			via = a
		}
	}
	return own, via
}

// question returns the node's question to its policy about a PID, with all statements about the PID that the node knows.
func (r *Realizer) question(id pir.PID) (*protocol.Question, error) {
	q := &protocol.Question{PID: id, Own: protocol.KeyOf(r.o.Key), Now: r.o.Now()}
	for a, err := range r.o.Store.Attestations(id) {
		if err != nil {
			return nil, err
		}
		q.Statements = append(q.Statements, a)
	}
	return q, nil
}

// Decide returns the policy's decision on all statements about a PID that the node knows, for people.
func (r *Realizer) Decide(id pir.PID) (*protocol.Decision, error) {
	q, err := r.question(id)
	if err != nil {
		return nil, err
	}
	return r.decide(q, r.stored), nil
}

// decide asks the policy, by the name in the PIR. If the name is not known, all rules that could apply must agree.
func (r *Realizer) decide(q *protocol.Question, named func(pir.PID) *pir.PIR) *protocol.Decision {
	if p := named(q.PID); p != nil {
		q.Described, q.Name, q.Platform = true, p.Name, p.Platform
	}
	q.Heads = r.heads()
	return r.policy().Decide(q)
}

func (r *Realizer) policy() *protocol.Policy {
	if r.o.Policy == nil {
		return &protocol.Policy{}
	}
	return r.o.Policy()
}

// mayAsk reports whether asking peers can change a decision: there are peers, and the policy trusts a signer.
func (g *graph) mayAsk() bool {
	return g.known.others() && !g.req.NoAsk
}

// ask asks peers for statements about PIDs, and keeps those of signers that the policy names. If the names of some PIDs are not known, it asks
// for their PIRs at the same time, unless the policy decides all PIDs without them.
// If peers do not answer, that is no error: the node then builds those packages.
func (g *graph) ask(ctx context.Context, ids []pir.PID) {
	defer g.changed(ids...)
	var nameless []pir.PID
	for _, id := range ids {
		if g.known.names(id) == nil {
			nameless = append(nameless, id)
		}
	}
	if len(nameless) == 0 {
		g.askStatements(ctx, ids)
		return
	}
	names, enough := context.WithCancel(ctx)
	defer enough()
	var naming sync.WaitGroup
	defer naming.Wait()
	naming.Go(func() { g.askPIRs(names, nameless) })
	g.askStatements(ctx, ids)
	for _, id := range nameless {
		if _, err := g.r.word(id); err != nil {
			return
		}
	}
	enough()
}

// askStatements is ask for statements alone.
func (g *graph) askStatements(ctx context.Context, ids []pir.PID) {
	said, err := g.r.o.Peers.Statements(ctx, ids)
	if err != nil && ctx.Err() == nil {
		g.r.log.Warn("ask for statements", "pids", len(ids), "error", err)
	}
	signers := g.r.policy().Signers()
	var keep []protocol.Attestation
	for _, a := range said {
		if slices.Contains(ids, a.PID) && slices.Contains(signers, a.Signer) && a.Via.IsZero() {
			keep = append(keep, a)
		}
	}
	if len(keep) == 0 {
		return
	}
	if err := g.r.o.Store.PutAttestations(ctx, keep...); err != nil && ctx.Err() == nil {
		g.r.log.Warn("keep statements", "error", err)
	}
}

// receive fetches the content of a PID from peers, if other signers' statements decide the content and a peer has it. It builds nothing.
// If the fetch fails, receive sends an event and returns no error: the caller then builds the package.
// receive locks the PID. The caller may hold one other lock, that of a PID whose resolved PID this is.
func (g *graph) receive(ctx context.Context, id pir.PID, t *task) (bool, error) {
	unlock, err := g.r.locks.lock(ctx, id)
	if err != nil {
		return false, err
	}
	defer unlock()
	if ok, err := g.find(id, t, protocol.Present); ok || err != nil {
		return ok, err // received meanwhile: by another request, or as the resolved PID of another package
	}
	w, err := g.r.word(id)
	if errors.Is(err, cas.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	here, err := g.whole(ctx, w.cid)
	if err != nil {
		return false, err
	}
	if !here {
		if g.r.o.Peers == nil || g.req.Offline {
			return false, nil
		}
		if err := g.transfer(ctx, id, w, t.name); err != nil {
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			g.event(protocol.Event{Kind: protocol.EventNote, PID: id, Name: t.name, Text: t.name + ": fetching from peers failed: " + err.Error()})
			return false, nil
		}
	}
	by, why, err := g.r.statement(id, w.cid)
	if err != nil || by == nil {
		return false, err // nil: the policy has changed meanwhile
	}
	if err := g.r.o.Store.Bind(ctx, *by); err != nil {
		return false, err
	}
	if g.r.o.Peers != nil {
		g.r.o.Peers.Announce(id)
	}
	g.received.Store(true)
	g.changed(id)
	t.cid, t.size, t.way = w.cid, w.size, protocol.Received
	g.event(protocol.Event{Kind: protocol.EventDone, PID: id, Name: t.name, Way: t.way, CID: t.cid.String(), Text: why})
	return true, nil
}

// statement returns an attestation that a PID has a content, and the reason why it counts: it is the node's own, of content that the store has
// lost, or the policy accepts it. If there is none, statement returns nil.
func (r *Realizer) statement(id pir.PID, content cid.CID) (*protocol.Attestation, string, error) {
	q, err := r.question(id)
	if err != nil {
		return nil, "", err
	}
	if own, _ := newestOwn(q); own != nil && own.CID == content {
		return own, "this node has made it before", nil
	}
	if d := r.decide(q, r.stored); d.Statement != nil && d.CID == content {
		return d.Statement, d.Why, nil
	}
	return nil, "", nil
}

// whole reports whether the store has all of a tree.
func (g *graph) whole(ctx context.Context, root cid.CID) (bool, error) {
	if ok, err := g.r.o.Store.Has(root); err != nil || !ok {
		return false, err
	}
	missing, err := g.r.o.Store.Missing(ctx, root)
	return err == nil && len(missing) == 0, err
}

// transfer fetches a tree from peers.
func (g *graph) transfer(ctx context.Context, id pir.PID, w word, name string) error {
	release, err := g.r.fetches.Take(ctx)
	if err != nil {
		return err
	}
	defer release()
	begun, of := g.next(id, protocol.Receive)
	g.event(protocol.Event{Kind: protocol.EventStart, PID: id, Name: name, What: pir.Fetch, Done: begun, Total: of})
	return g.r.o.Peers.Fetch(ctx, id, w.cid, w.size, func(done, total int64) {
		g.event(protocol.Event{Kind: protocol.EventProgress, PID: id, Name: name, What: pir.Fetch, Done: done, Total: total})
	})
}

// refer makes the references of PIDs present, directly and indirectly. If a reference has a lower rank than of, the PID that needs it, the node
// may make it: such a reference is an input. If of is zero, the node may make any reference. Another reference, a PID that comes from
// another node's build, arrives only by other signers' claims, so that no task can wait for itself.
func (g *graph) refer(ctx context.Context, ids []pir.PID, of pir.PID) error {
	mayMake := g.ranked(of)
	seen := map[pir.PID]bool{}
	for level := ids; len(level) > 0; {
		var next, unknown []pir.PID
		for _, id := range level {
			w, ok, err := g.known.word(id)
			if err == nil && !ok {
				err = cas.ErrNotFound
			}
			if err != nil {
				return fmt.Errorf("references of %s: %w", id.Short(), err)
			}
			for _, ref := range w.refs {
				if !seen[ref] {
					seen[ref] = true
					next = append(next, ref)
				}
			}
			if len(seen) > g.r.o.MaxReferences {
				return protocol.Errorf(protocol.Exhausted, "%s refers to more than %d packages", ids[0].Short(), g.r.o.MaxReferences).
					WithHint("no package needs so many; do not trust its signers: nuka trust why %s", id)
			}
		}
		for _, ref := range next {
			if mayMake(ref) {
				g.start(ctx, ref)
			} else if _, ok, err := g.known.word(ref); !ok && err == nil {
				unknown = append(unknown, ref)
				continue
			}
			// This node gives received content on to peers, which may trust the signers that this node trusts but not this node itself.
			if g.received.Load() && !g.r.saidByOthers(ref) {
				unknown = append(unknown, ref)
			}
		}
		if len(unknown) > 0 && g.mayAsk() {
			g.ask(ctx, unknown)
		}
		for _, ref := range next {
			if mayMake(ref) {
				if err := g.start(ctx, ref).wait(ctx); err != nil {
					return err
				}
				continue
			}
			if err := g.bring(ctx, ref, &task{}); err != nil {
				return err
			}
		}
		level = next
	}
	return nil
}

// ranked returns a function that reports whether the node may make a PID for the PID of: if its rank is lower. If of is zero, the node may
// make every PID that can be made.
func (g *graph) ranked(of pir.PID) func(pir.PID) bool {
	below := unranked
	if !of.IsZero() {
		g.planning.Lock()
		below = g.planner.rank(of)
		g.planning.Unlock()
	}
	return func(id pir.PID) bool {
		g.planning.Lock()
		defer g.planning.Unlock()
		return g.planner.rank(id) < below
	}
}

// saidByOthers reports whether the store has another signer's statement about a PID.
func (r *Realizer) saidByOthers(id pir.PID) bool {
	own := protocol.KeyOf(r.o.Key)
	for a, err := range r.o.Store.Attestations(id) {
		if err == nil && a.Signer != own {
			return true
		}
	}
	return false
}

// bring makes a PID present that the node cannot build, because no request of this node has given its description: a statement refers to it, or
// a request names it by its PID alone.
func (g *graph) bring(ctx context.Context, id pir.PID, t *task) error {
	t.name = id.Short()
	if ok, err := g.find(id, t, protocol.Present); ok || err != nil {
		return err
	}
	if _, err := g.r.word(id); errors.Is(err, cas.ErrNotFound) && g.mayAsk() {
		g.ask(ctx, []pir.PID{id})
	}
	ok, err := g.receive(ctx, id, t)
	if ok || err != nil {
		return err
	}
	return g.unavailable(id)
}

// unavailable explains why a PID that the node cannot build is not available from peers either.
func (g *graph) unavailable(id pir.PID) error {
	d, err := g.r.Decide(id)
	switch {
	case err != nil:
		return err
	case len(g.r.policy().Signers()) == 0:
		return protocol.Errorf(protocol.Unavailable, "cannot get %s: this node has no description to build it from, and the policy trusts no signer", id.Short()).
			WithHint("build it from its file: nuka build FILE, or trust a signer that has built it: nuka trust add KEY")
	case d.Statement == nil && !g.r.described(id):
		return protocol.Errorf(protocol.Unavailable, "cannot get %s: %s", id.Short(), d.Why).WithHint("try: nuka build FILE")
	case d.Statement == nil:
		return protocol.Errorf(protocol.Unavailable, "cannot get %s: this node has no description to build it from, and the policy accepts no content for it: %s", id.Short(), d.Why).
			WithHint("see the statements about it: nuka trust why %s", id)
	}
	return protocol.Errorf(protocol.Unavailable, "cannot get %s: no peer sent the content that the policy accepts (%s)", id.Short(), d.Why).
		WithHint("connect to a node that has it: nuka swarm connect ADDRESS, or try: nuka build FILE")
}
