package realize

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
)

// A graph carries out the plan of one request: a task for each PID it touches. Each task settles its PID again when its turn comes, as
// what others have said and given may turn out otherwise than planned.
type graph struct {
	r       *Realizer
	req     *Request
	known   *known
	running sync.WaitGroup
	// received says that something has come by the word of others.
	received atomic.Bool
	// learned is how many bytes of PIRs others have given.
	learned atomic.Int64

	jobs Slots // of the request

	planning sync.Mutex
	planner  *planner

	mu    sync.Mutex
	tasks map[pir.PID]*task
	// steps are the fetches and builds that the request needs, as far as is known: 0, or the number of one that has begun.
	steps map[step]int
	begun int
}

// A step is one that is counted for people.
type step struct {
	id  pir.PID
	how protocol.How
}

// A task realizes one PID. Its fields may be read after done is closed.
type task struct {
	done chan struct{}
	err  error
	name string
	cid  cid.CID
	way  protocol.Way
	size int64
}

// wait waits for the task's end, or ctx's.
func (t *task) wait(ctx context.Context) error {
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func newGraph(r *Realizer, req *Request) (*graph, error) {
	if len(req.Wanted) == 0 {
		return nil, protocol.Errorf(protocol.Invalid, "realize: nothing is wanted")
	}
	g := &graph{r: r, req: req, known: newKnown(r, req), tasks: map[pir.PID]*task{}, steps: map[step]int{}}
	if req.Jobs > 0 {
		g.jobs = NewSlots(req.Jobs)
	}
	g.planner = newPlanner(g.known, r.o.MaxReferences)
	return g, nil
}

// planRounds bounds how often others are asked before work begins: once for what the request describes, then for what that refers to.
// What is deeper is asked for when its turn comes.
const planRounds = 16

// plan makes the plan of the request, and asks others about all that it would otherwise have to make.
func (g *graph) plan(ctx context.Context) (*protocol.Plan, error) {
	asked := map[pir.PID]bool{}
	for round := 0; ; round++ {
		g.planning.Lock()
		plan, unknown, err := g.planner.make(g.req.Wanted)
		g.planning.Unlock()
		if err != nil {
			return nil, err
		}
		unknown = slices.DeleteFunc(unknown, func(id pir.PID) bool { return asked[id] })
		if len(unknown) == 0 || round == planRounds || !g.mayAsk() {
			g.count(plan)
			return plan, nil
		}
		for _, id := range unknown {
			asked[id] = true
		}
		g.ask(ctx, unknown)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// settle says how a PID gets its content by what is known now.
func (g *graph) settle(id pir.PID) (*settled, error) {
	g.planning.Lock()
	defer g.planning.Unlock()
	s := g.planner.settle(id)
	return s, g.planner.err
}

// changed is told of PIDs of which more is known now.
func (g *graph) changed(ids ...pir.PID) {
	g.planning.Lock()
	defer g.planning.Unlock()
	g.known.forget(ids...)
	for _, id := range ids {
		delete(g.planner.settled, id)
	}
}

// isLost says whether others did not give the content of a PID.
func (g *graph) isLost(id pir.PID) bool {
	g.planning.Lock()
	defer g.planning.Unlock()
	return g.planner.lost[id]
}

// lose notes that others did not give the content of a PID, and plans anew without it.
func (g *graph) lose(id pir.PID) error {
	g.planning.Lock()
	defer g.planning.Unlock()
	if g.planner.lost[id] {
		return protocol.Errorf(protocol.Internal, "%s is to be received again", id.Short())
	}
	g.planner.lost[id] = true
	plan, _, err := g.planner.make(g.req.Wanted)
	g.count(plan)
	return err
}

func (g *graph) event(e protocol.Event) {
	if g.req.Event != nil {
		g.req.Event(e)
	}
}

func (g *graph) counts() map[protocol.Way]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	counts := map[protocol.Way]int{}
	for _, t := range g.tasks {
		select {
		case <-t.done:
			counts[t.way]++
		default:
		}
	}
	return counts
}

// start returns the task of id, which runs from the first call on.
func (g *graph) start(ctx context.Context, id pir.PID) *task {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t := g.tasks[id]; t != nil {
		return t
	}
	t := &task{done: make(chan struct{})}
	g.tasks[id] = t
	g.running.Go(func() {
		defer close(t.done)
		t.err = g.run(ctx, id, t)
	})
	return t
}

// maxTries bounds how often a PID is settled: once, and again for what others did not give or what has changed meanwhile.
const maxTries = 16

// run realizes one PID as the planner settles it.
func (g *graph) run(ctx context.Context, id pir.PID, t *task) error {
	d := g.known.description(id)
	t.name = d.name
	// First: what is bound by the word of others under an unknown name is judged by its name now.
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
			ok, err = g.find(id, t, protocol.Present)
			if !ok && err == nil {
				g.changed(id) // it was here a moment ago
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

// receiveOrLose is receive, after which a PID that did not come is settled otherwise.
func (g *graph) receiveOrLose(ctx context.Context, id pir.PID, t *task) (bool, error) {
	ok, err := g.receive(ctx, id, t)
	if !ok && err == nil {
		err = g.lose(id)
	}
	return ok, err
}

// keep binds a PID to the content of its resolved PID, which comes from others if it is not here.
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

// make realizes the inputs of a PID and makes its content, unless it turns out that there is one.
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
		return err // another request was faster
	}
	resolved, resolvedText, err := p.Resolve(func(input pir.PID) (cid.CID, error) { return contents[input], nil })
	if err != nil {
		return err
	}
	if resolved != id {
		if ok, err := g.cutoff(ctx, id, resolved, p, t); ok || err != nil {
			return err
		}
		if g.mayAsk() && p.Kind == pir.Build && !g.isLost(resolved) {
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
	if p.Kind == pir.Build {
		if err := g.refer(ctx, slices.Collect(maps.Values(p.Packages)), id); err != nil {
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
	g.event(protocol.Event{Kind: protocol.EventDone, PID: id, Name: t.name, What: p.Kind, Way: t.way, CID: t.cid.String()})
	return nil
}

// describe keeps what the request says of a PID: it may have come by its PID alone, or its PIR from others.
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

// count notes the steps of a plan that people wait for.
func (g *graph) count(plan *protocol.Plan) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range plan.Steps {
		if s.How == protocol.Receive || s.How == protocol.Make && s.What.Long() {
			g.steps[step{s.PID, s.How}] += 0
		}
	}
}

// uncount takes a step back that proved to be needless.
func (g *graph) uncount(id pir.PID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := (step{id, protocol.Make}); g.steps[s] == 0 {
		delete(g.steps, s)
	}
}

// next begins a step, and returns its number and how many there are.
func (g *graph) next(id pir.PID, how protocol.How) (begun, of int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := step{id, how}
	if g.steps[s] == 0 {
		g.begun++
		g.steps[s] = g.begun
	}
	return int64(g.steps[s]), int64(len(g.steps))
}

func (g *graph) begin(id pir.PID, p *pir.PIR, name string) {
	g.r.mu.Lock()
	g.r.running[id] = string(p.Kind) + " " + name
	g.r.mu.Unlock()
	e := protocol.Event{Kind: protocol.EventStart, PID: id, Name: name, What: p.Kind}
	if p.Kind.Long() {
		e.Done, e.Total = g.next(id, protocol.Make)
	}
	g.event(e)
}

func (g *graph) end(id pir.PID) {
	g.r.mu.Lock()
	delete(g.r.running, id)
	g.r.mu.Unlock()
}

// label names a PIR for people: a fetch by where it comes from.
func label(p *pir.PIR, origins []byte) string {
	switch {
	case p.Kind == pir.Fetch:
		if from, err := splitOrigins(origins); err == nil && len(from) > 0 {
			return from[0].String()
		}
		return p.Hash.String()[:min(16, len(p.Hash.String()))] + "…"
	case p.Version != "":
		return p.Name + " " + p.Version
	}
	return p.Name
}

// find fills t if id is present.
func (g *graph) find(id pir.PID, t *task, way protocol.Way) (bool, error) {
	content, ok, err := g.r.present(id)
	if !ok || err != nil {
		return false, err
	}
	w, err := g.r.word(id)
	if errors.Is(err, cas.ErrNotFound) || err == nil && w.cid != content {
		return false, nil // bound by somebody's word, which does not count
	}
	if err != nil {
		return false, err
	}
	t.cid, t.size, t.way = content, w.size, way
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
		via = pir.PID{} // it was made here
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

// inputs realizes what p needs and returns its content.
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

// joinOrigins makes one canonical list of canonical origins.
func joinOrigins(origins []string) ([]byte, error) {
	list := nuon.List{}
	for _, text := range origins {
		if _, err := source.ParseOrigin([]byte(text)); err != nil {
			return nil, protocol.Errorf(protocol.Invalid, "%v", err)
		}
		rec, err := nuon.DecodeRecord([]byte(text))
		if err != nil {
			return nil, err
		}
		list = append(list, rec)
	}
	return nuon.Encode(list)
}

// splitOrigins is the reverse of joinOrigins.
func splitOrigins(joined []byte) ([]source.Origin, error) {
	if len(joined) == 0 {
		return nil, nil
	}
	v, err := nuon.Decode(joined)
	if err != nil {
		return nil, err
	}
	list, _ := v.(nuon.List)
	var origins []source.Origin
	for _, item := range list {
		text, err := nuon.Encode(item)
		if err != nil {
			return nil, err
		}
		o, err := source.ParseOrigin(text)
		if err != nil {
			return nil, err
		}
		origins = append(origins, o)
	}
	return origins, nil
}
