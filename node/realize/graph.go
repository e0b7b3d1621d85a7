package realize

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
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
