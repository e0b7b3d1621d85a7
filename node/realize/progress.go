package realize

import (
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// count adds the steps of a plan that take time, for the progress display.
func (g *graph) count(plan *protocol.Plan) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range plan.Steps {
		if s.How == protocol.Receive || s.How == protocol.Make && s.What.Long() {
			g.steps[step{s.PID, s.How}] += 0
		}
	}
}

// uncount removes a step that proved unnecessary.
func (g *graph) uncount(id pir.PID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := (step{id, protocol.Make}); g.steps[s] == 0 {
		delete(g.steps, s)
	}
}

// next begins a step, and returns its number and the number of all steps.
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
	g.r.running.mu.Lock()
	g.r.running.names[id] = string(p.Kind) + " " + name
	g.r.running.mu.Unlock()
	e := protocol.Event{Kind: protocol.EventStart, PID: id, Name: name, What: p.Kind}
	if p.Kind.Long() {
		e.Done, e.Total = g.next(id, protocol.Make)
	}
	g.event(e)
}

func (g *graph) end(id pir.PID) {
	g.r.running.mu.Lock()
	delete(g.r.running.names, id)
	g.r.running.mu.Unlock()
}
