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

// A graph is the work of one request: a task for each PID it touches.
type graph struct {
	r       *Realizer
	req     *Request
	given   map[pir.PID]protocol.Package
	running sync.WaitGroup
	asked   sync.Once
	// received says that something has come by the word of others.
	received atomic.Bool
	// learned is how many bytes of PIRs others have given.
	learned atomic.Int64

	mu    sync.Mutex
	tasks map[pir.PID]*task
	// steps is how many fetches and builds the request needs, as far as is known, and begun how many of them have begun.
	steps, begun int
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
	g := &graph{r: r, req: req, given: map[pir.PID]protocol.Package{}, tasks: map[pir.PID]*task{}}
	for _, p := range req.Packages {
		g.given[pir.Sum([]byte(p.PIR))] = p
	}
	if len(req.Wanted) == 0 {
		return nil, protocol.Errorf(protocol.Invalid, "realize: nothing is wanted")
	}
	return g, nil
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

// run takes the steps of README.md.
func (g *graph) run(ctx context.Context, id pir.PID, t *task) error {
	t.name = g.given[id].Name
	// First: what is bound by the word of others under an unknown name is judged by its name now.
	if err := g.describe(ctx, id); err != nil {
		return err
	}
	if ok, err := g.find(id, t, protocol.Present); err != nil || ok {
		return err
	}
	p, canonical, origins, err := g.pir(id)
	if protocol.CodeOf(err) == protocol.NotFound && g.r.o.Peers != nil && !g.req.Offline {
		return g.bring(ctx, id, t)
	}
	if err != nil {
		return err
	}
	if t.name == "" {
		t.name = label(p, origins)
	}
	if g.mayAsk() {
		g.askAll(ctx)
		if ok, err := g.receive(ctx, id, t); ok || err != nil {
			return err
		}
	}
	counted := p.Kind == pir.Fetch || p.Kind == pir.Build
	if counted {
		g.count(1)
		defer func() {
			if counted { // it was not begun
				g.count(-1)
			}
		}()
	}
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
	if err := g.r.o.Store.PutPIR(ctx, id, canonical, origins); err != nil {
		return fmt.Errorf("keep pir: %w", err)
	}
	resolved, resolvedText, err := p.Resolve(func(input pir.PID) (cid.CID, error) { return contents[input], nil })
	if err != nil {
		return err
	}
	if resolved != id {
		if ok, err := g.cutoff(ctx, id, resolved, p, t); ok || err != nil {
			return err
		}
		if g.mayAsk() && p.Kind == pir.Build {
			if err := g.r.o.Store.PutPIR(ctx, resolved, resolvedText, nil); err != nil {
				return fmt.Errorf("keep pir: %w", err)
			}
			g.ask(ctx, []pir.PID{resolved})
			if ok, err := g.receive(ctx, resolved, &task{name: t.name}); err != nil {
				return err
			} else if ok {
				ok, err := g.cutoff(ctx, id, resolved, p, t)
				if ok || err != nil {
					return err
				}
			}
		}
	}
	if p.Kind == pir.Build {
		if err := g.refer(ctx, slices.Collect(maps.Values(p.Packages))); err != nil {
			return err
		}
	}
	w := &work{g: g, id: id, pir: p, canonical: canonical, origins: origins, contents: contents, name: t.name}
	g.begin(id, p, t.name, counted)
	counted = false
	made, err := w.run(ctx)
	g.end(id)
	if err != nil {
		if ctx.Err() == nil {
			g.event(protocol.Event{Kind: protocol.EventFail, PID: id, Name: t.name, What: p.Kind, Text: err.Error()})
		}
		return err
	}
	if resolved != id {
		if err := g.r.bind(ctx, resolved, word{made.cid, made.refs, made.size}, pir.PID{}); err != nil {
			return fmt.Errorf("bind %s: %w", t.name, err)
		}
	}
	if err := g.r.bind(ctx, id, word{made.cid, made.refs, made.size}, pir.PID{}); err != nil {
		return fmt.Errorf("bind %s: %w", t.name, err)
	}
	t.cid, t.size, t.way = made.cid, made.size, made.way
	g.event(protocol.Event{Kind: protocol.EventDone, PID: id, Name: t.name, What: p.Kind, Way: t.way, CID: t.cid.String()})
	return nil
}

// describe keeps what the request says of a PID: it may have come by its PID alone, or its PIR from others.
func (g *graph) describe(ctx context.Context, id pir.PID) error {
	if _, given := g.given[id]; !given {
		return nil
	}
	if _, origins, err := g.r.o.Store.PIR(id); err == nil && origins != nil || err != nil && !errors.Is(err, cas.ErrNotFound) {
		return err
	}
	_, canonical, origins, err := g.pir(id)
	if err != nil {
		return err
	}
	return g.r.o.Store.PutPIR(ctx, id, canonical, origins)
}

// count notes that the request needs n more steps.
func (g *graph) count(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.steps += n
}

// step begins one of the steps that were counted, and returns its number and how many there are.
func (g *graph) step() (begun, of int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.begun++
	return int64(g.begun), int64(g.steps)
}

func (g *graph) begin(id pir.PID, p *pir.PIR, name string, counted bool) {
	g.r.mu.Lock()
	g.r.running[id] = string(p.Kind) + " " + name
	g.r.mu.Unlock()
	e := protocol.Event{Kind: protocol.EventStart, PID: id, Name: name, What: p.Kind}
	if counted {
		e.Done, e.Total = g.step()
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
	g.event(protocol.Event{
		Kind: protocol.EventDone, PID: id, Name: t.name, What: p.Kind, Way: protocol.Cutoff, CID: t.cid.String(), Same: resolved.String(),
	})
	return true, nil
}

// pir returns the PIR of id and its origins, from this request or an earlier one. Each of these gives a list of origins, which may be
// empty: a PIR in the store without a list was given by others or was derived, and is not built from.
func (g *graph) pir(id pir.PID) (p *pir.PIR, canonical, origins []byte, err error) {
	if given, ok := g.given[id]; ok {
		canonical = []byte(given.PIR)
		origins, err = joinOrigins(given.Origins)
	} else {
		canonical, origins, err = g.r.o.Store.PIR(id)
		if errors.Is(err, cas.ErrNotFound) || err == nil && origins == nil {
			return nil, nil, nil, protocol.Errorf(protocol.NotFound, "no description of %s is known", id.Short()).
				WithHint("build it by its package's name or file")
		}
	}
	if err != nil {
		return nil, nil, nil, err
	}
	p, err = pir.Decode(canonical)
	if err != nil {
		return nil, nil, nil, protocol.Errorf(protocol.Invalid, "%v", err)
	}
	return p, canonical, origins, nil
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
