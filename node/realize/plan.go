package realize

import (
	"maps"
	"math"
	"slices"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A planner turns what is known into a plan. It reads facts, changes nothing and asks nobody, so the same facts give the same plan.
//
// It settles for each PID how it gets its content, from what is wanted downwards: what is here, or comes from others, needs no inputs.
// What nobody can settle before a build has run, whether early cutoff keeps a package, is a step that may turn out to be none (Maybe).
type planner struct {
	facts facts
	// most is how many references are looked at: whoever signs statements says what refers to what.
	most int
	// lost are the PIDs whose content others said they have and did not give.
	lost map[pir.PID]bool

	settled map[pir.PID]*settled
	ranks   map[pir.PID]int
	plan    *protocol.Plan
	planned map[pir.PID]bool
	closed  map[pir.PID]bool // what the packages of builds refer to
	// unknown are PIDs of which nothing counts yet, in the order in which the plan needs them.
	unknown []pir.PID
	asked   map[pir.PID]bool // those in unknown
	err     error            // the first fact that could not be read
}

// facts is what a planner reads.
type facts interface {
	// word returns what counts about a PID; false: nothing does.
	word(id pir.PID) (word, bool, error)
	// here reports whether a PID is bound to a content, and the store has it.
	here(id pir.PID, content cid.CID) (bool, error)
	// description returns the PIR of a PID that may be built from, or why there is none. It is never nil.
	description(id pir.PID) *description
	// alias notes that a PID is the resolved one of a PIR: it is judged by the same name.
	alias(resolved pir.PID, p *pir.PIR)
	// held returns the content of a fetch whose hash names a tree that the store has.
	held(p *pir.PIR) (cid.CID, bool, error)
	// others says whether content can come from other nodes: there are some, and the policy trusts somebody.
	others() bool
}

// settled is how a PID gets its content.
type settled struct {
	how protocol.How
	// cid is the content, zero of what is to be made.
	cid  cid.CID
	word word
	// resolved is the resolved PID whose content keeps this one.
	resolved pir.PID
	text     []byte // the resolved PIR
	d        *description
	p        *pir.PIR // of d; nil: none that may be built from is known
}

const (
	// unranked is the rank of what cannot be made: higher than all others.
	unranked = math.MaxInt
	// maxPlannedReferences is how many references a plan looks at at most; the request itself looks at all (Options.MaxReferences).
	maxPlannedReferences = 2000
)

func newPlanner(f facts, most int) *planner {
	p := &planner{facts: f, most: min(most, maxPlannedReferences), lost: map[pir.PID]bool{}, ranks: map[pir.PID]int{}}
	p.reset()
	return p
}

// reset forgets what was settled: there are new facts.
func (p *planner) reset() {
	p.settled, p.planned, p.asked = map[pir.PID]*settled{}, map[pir.PID]bool{}, map[pir.PID]bool{}
	p.err = nil
	p.closed, p.plan, p.unknown = map[pir.PID]bool{}, &protocol.Plan{}, nil
}

// make returns the plan for the wanted PIDs, and the PIDs that are worth asking others about.
func (p *planner) make(wanted []pir.PID) (*protocol.Plan, []pir.PID, error) {
	p.reset()
	for _, id := range wanted {
		p.schedule(id)
	}
	p.closure(wanted, unranked, map[pir.PID]bool{})
	return p.plan, p.unknown, p.err
}

// settle decides how a PID gets its content, and what of that is known.
func (p *planner) settle(id pir.PID) *settled {
	if s := p.settled[id]; s != nil {
		return s
	}
	d := p.description(id)
	s := &settled{how: protocol.Impossible, d: d, p: d.p}
	p.settled[id] = s // also while its inputs are looked at: a PIR cannot be made from itself, as its PID is its hash
	if w, ok := p.counts(id); ok {
		s.word = w
		switch {
		case p.isHere(id, w.cid):
			s.how, s.cid = protocol.Reuse, w.cid
			return s
		case p.facts.others() && !p.lost[id]:
			s.how, s.cid = protocol.Receive, w.cid
			return s
		}
	} else {
		p.ask(id)
	}
	if s.p == nil {
		return s
	}
	s.how = protocol.Make
	if s.p.Kind == pir.Fetch {
		content, ok, err := p.facts.held(s.p)
		p.note(err)
		if ok {
			s.how, s.cid = protocol.Keep, content
		}
		return s
	}
	p.settleResolved(s)
	return s
}

// settleResolved looks whether early cutoff keeps a PID: whether another one with the same resolved PIR has content.
func (p *planner) settleResolved(s *settled) {
	inputs := s.p.Inputs()
	for _, input := range inputs {
		if p.settle(input).cid.IsZero() {
			return
		}
	}
	if len(inputs) == 0 {
		return // it is its own resolved PIR
	}
	resolved, text, err := s.p.Resolve(func(id pir.PID) (cid.CID, error) { return p.settled[id].cid, nil })
	if err != nil {
		p.note(err)
		return
	}
	p.facts.alias(resolved, s.p)
	w, ok := p.counts(resolved)
	switch {
	case !ok:
		if s.p.Kind == pir.Build {
			p.ask(resolved)
		}
	case p.isHere(resolved, w.cid) || p.facts.others() && !p.lost[resolved]:
		s.how, s.cid, s.word, s.resolved, s.text = protocol.Keep, w.cid, w, resolved, text
	}
}

// schedule adds the steps that a PID needs, those that come first before it.
func (p *planner) schedule(id pir.PID) {
	if p.planned[id] {
		return
	}
	p.planned[id] = true
	s := p.settle(id)
	step := protocol.PlanStep{PID: id, Name: s.d.name, How: s.how, Size: s.word.size}
	if !s.cid.IsZero() {
		step.CID = s.cid.String()
	}
	if s.p != nil {
		step.What = s.p.Kind
	}
	switch s.how {
	case protocol.Reuse:
		p.plan.Reused++
		return
	case protocol.Keep:
		if s.resolved.IsZero() {
			break
		}
		step.Same = s.resolved.String()
		if !p.isHere(s.resolved, s.cid) && !p.planned[s.resolved] {
			p.planned[s.resolved] = true
			p.plan.Steps = append(p.plan.Steps, protocol.PlanStep{PID: s.resolved, Name: s.d.name, What: step.What, How: protocol.Receive, CID: step.CID, Size: s.word.size})
			step.Needs = []pir.PID{s.resolved}
		}
	case protocol.Make:
		step.Needs = s.p.Inputs()
		for _, input := range step.Needs {
			p.schedule(input)
			if p.settle(input).how == protocol.Make {
				step.Maybe = true // the input may get the content that another one had
			}
		}
		if s.p.Kind == pir.Build {
			p.closure(slices.Collect(maps.Values(s.p.Packages)), p.rank(id), p.closed)
		}
	}
	p.plan.Steps = append(p.plan.Steps, step)
}

// closure schedules what PIDs refer to, as far as that is known. What they are made from may be made for that, which is what has a
// lower rank; anything else comes by the word of others only, so that nothing can wait for itself.
func (p *planner) closure(ids []pir.PID, below int, seen map[pir.PID]bool) {
	for queue := slices.Clone(ids); len(queue) > 0; queue = queue[1:] {
		for _, ref := range p.settle(queue[0]).word.refs {
			if seen[ref] {
				continue
			}
			if len(seen) >= p.most {
				return
			}
			seen[ref] = true
			if p.settle(ref).comes() || p.rank(ref) < below {
				p.schedule(ref)
			}
			queue = append(queue, ref)
		}
	}
}

// comes says whether a PID gets content without anything that is made.
func (s *settled) comes() bool { return s.how == protocol.Reuse || s.how == protocol.Receive }

// rank is the length of the longest chain of PIRs below a PID: what a PID is made from has a lower one. It is unranked of what cannot be made.
func (p *planner) rank(id pir.PID) int {
	if r, ok := p.ranks[id]; ok {
		return r
	}
	rank := unranked
	if d := p.description(id); d.p != nil {
		rank = 0
		for _, input := range d.p.Inputs() {
			if r := p.rank(input); r != unranked {
				rank = max(rank, r+1)
			}
		}
	}
	p.ranks[id] = rank
	return rank
}

// ask notes that others may know of a PID.
func (p *planner) ask(id pir.PID) {
	if !p.asked[id] {
		p.asked[id] = true
		p.unknown = append(p.unknown, id)
	}
}

// note keeps the first fact that could not be read.
func (p *planner) note(err error) {
	if err != nil && p.err == nil {
		p.err = err
	}
}

func (p *planner) counts(id pir.PID) (word, bool) {
	w, ok, err := p.facts.word(id)
	p.note(err)
	return w, ok && err == nil
}

func (p *planner) isHere(id pir.PID, content cid.CID) bool {
	ok, err := p.facts.here(id, content)
	p.note(err)
	return ok && err == nil
}

// description notes what is wrong with a PIR, unless there is none.
func (p *planner) description(id pir.PID) *description {
	d := p.facts.description(id)
	if protocol.CodeOf(d.err) != protocol.NotFound {
		p.note(d.err)
	}
	return d
}
