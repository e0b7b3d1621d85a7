package realize

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A graph carries out the plan of one request, with a task for each PID that it touches. Each task settles its PID again when it runs, because
// the statements and content that peers send may differ from the plan.
type graph struct {
	r       *Realizer
	req     *Request
	known   *known
	running sync.WaitGroup
	// received is set once the request has received content by other signers' claims.
	received atomic.Bool
	// learned is how many bytes of PIRs peers have sent.
	learned atomic.Int64

	jobs Slots // of the request

	planning sync.Mutex
	planner  *planner

	mu    sync.Mutex
	tasks map[pir.PID]*task
	// steps are the fetches and builds that the request needs, as far as known. The value is 0, or the step's number once it has begun.
	steps map[step]int
	begun int

	preparing preparations
}

// A step is a fetch or build that the progress display counts.
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

// planRounds bounds how often the graph asks peers before work begins: first about the packages that the request describes, then about their
// references. A task asks about deeper references when it reaches them.
const planRounds = 16

// plan makes the plan of the request, and asks peers about every PID that the node would otherwise have to make.
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

// settle returns how a PID gets its content, from the facts known now.
func (g *graph) settle(id pir.PID) (*settled, error) {
	g.planning.Lock()
	defer g.planning.Unlock()
	s := g.planner.settle(id)
	return s, g.planner.err
}

// changed drops cached facts and decisions about PIDs, because the store has new facts about them.
func (g *graph) changed(ids ...pir.PID) {
	g.planning.Lock()
	defer g.planning.Unlock()
	g.known.forget(ids...)
	for _, id := range ids {
		delete(g.planner.settled, id)
	}
}

// isLost reports whether peers failed to send the content of a PID.
func (g *graph) isLost(id pir.PID) bool {
	g.planning.Lock()
	defer g.planning.Unlock()
	return g.planner.lost[id]
}

// lose notes that peers failed to send the content of a PID, and plans again without it.
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

// used returns the PIDs that the request has used.
func (g *graph) used() []pir.PID {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Keys(g.tasks))
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

// start returns the task of id. The first call starts the task.
func (g *graph) start(ctx context.Context, id pir.PID) *task {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t := g.tasks[id]; t != nil {
		return t
	}
	g.req.Lease.KeepPIDs(id)
	t := &task{done: make(chan struct{})}
	g.tasks[id] = t
	g.running.Go(func() {
		defer close(t.done)
		t.err = g.run(ctx, id, t)
	})
	return t
}
