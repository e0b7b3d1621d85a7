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

// Peers is the set of operations that a Realizer needs of other nodes.
type Peers interface {
	// Statements returns what others have said about PIDs, with signatures that were verified, in any order.
	// What nobody has answered is left out. It takes as few round trips as it can.
	Statements(ctx context.Context, ids []pir.PID) ([]protocol.Attestation, error)
	// PIRs returns canonical bytes of the PIRs of PIDs, as far as others give them. The Realizer verifies them.
	PIRs(ctx context.Context, ids []pir.PID) (map[pir.PID][]byte, error)
	// Fetch makes the tree below root, which is what id is to be, present in the store. Size is a bound of its bytes; 0 is none.
	Fetch(ctx context.Context, id pir.PID, root cid.CID, size int64, progress func(done, total int64)) error
	// Announce is told which PIDs have content here now.
	Announce(ids ...pir.PID)
}

// A word is what a node goes by: that a PID has a content, by its own attestation or by its policy.
type word struct {
	cid  cid.CID
	refs []pir.PID
	size int64
}

// word returns what counts about a PID. cas.ErrNotFound: nothing does.
func (r *Realizer) word(id pir.PID) (word, error) { return r.wordBy(id, r.stored) }

// stored returns the PIR of a PID that the store has, from whomever; nil: none.
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

// wordBy is word by the names of PIRs.
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
		w, err := r.wordBy(via.Via, named) // whose word may not count any more
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

// newestOwn returns the newest of the node's own attestations, and the newest that it made by the word of others.
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

// question is what the node asks its policy about a PID: all that it knows to have been said.
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

// Decide says what the node makes of all that it knows to have been said about a PID, for people.
func (r *Realizer) Decide(id pir.PID) (*protocol.Decision, error) {
	q, err := r.question(id)
	if err != nil {
		return nil, err
	}
	return r.decide(q, r.stored), nil
}

// decide asks the policy, by the name that the PIR has. While that is not known, all rules that could apply must agree.
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

// mayAsk says whether asking others can be of use: there are some, and the word of somebody counts.
func (g *graph) mayAsk() bool {
	return g.known.others() && !g.req.NoAsk
}

// ask learns what others have said about PIDs, and keeps what somebody says whom the policy names. Of PIDs whose names are not
// known it learns the PIRs at the same time, unless all is decided without them.
// Others who do not answer are no error: what they might have said is built.
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

// receive fetches the content of a PID from other nodes, if statements of others decide it and a node has it. It builds nothing.
// A fetch that fails is an event and no error: the caller then builds the package.
// It locks the PID. A caller may hold the lock of a PID whose resolved one this is, and no other.
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
		return false, err // nil: the policy was changed meanwhile
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

// statement returns one by which a PID has a content, and why it counts: the node's own, of content that the store has lost, or one that the
// policy takes. Nil: there is none.
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

// transfer fetches a tree from others.
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

// refer makes present what PIDs refer to. What they are made from may be made for that, which is what has a lower rank than the PID for
// which it is needed, or any if that is zero; anything else that they refer to, under the PID of whoever has built them, comes by the word
// of others only, so that nothing can wait for itself.
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
			// What was received is given on to others, who may trust whom this node trusts and not this node.
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

// ranked returns which PIDs may be made for the sake of one: those of a lower rank, or all that can be made if it is zero.
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

// saidByOthers says whether somebody else's word about a PID is kept.
func (r *Realizer) saidByOthers(id pir.PID) bool {
	own := protocol.KeyOf(r.o.Key)
	for a, err := range r.o.Store.Attestations(id) {
		if err == nil && a.Signer != own {
			return true
		}
	}
	return false
}

// bring makes a PID present that cannot be built, as nobody here has given its description: what somebody referred to, or asks for
// by its PID alone.
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

// unavailable says why a PID cannot be had that cannot be built.
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
