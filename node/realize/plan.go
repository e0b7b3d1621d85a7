package realize

import (
	"math"
	"slices"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A planner turns facts into a plan. It changes nothing and asks no peer, so the same facts give the same plan.
//
// It settles how each PID gets its content, from the wanted PIDs down to their inputs. A PID whose content is present or comes from peers needs
// no inputs. Whether early cutoff keeps a package is not known before its inputs are built; such a step may prove unnecessary (Maybe).
type planner struct {
	facts facts
	// most is how many references the plan looks at: signers state the references, so their number needs a bound.
	most int
	// lost are the PIDs whose content peers failed to send.
	lost map[pir.PID]bool

	settled map[pir.PID]*settled
	ranks   map[pir.PID]int
	plan    *protocol.Plan
	planned map[pir.PID]bool
	closed  map[pir.PID]bool // references of the packages that builds use
	// unknown are the PIDs without a claim that counts, in the order in which the plan needs them.
	unknown []pir.PID
	asked   map[pir.PID]bool // those in unknown
	err     error            // the first error of reading a fact
}

// facts is the set of operations that a planner reads facts with.
type facts interface {
	// word returns the claim that counts for a PID; false if there is none.
	word(id pir.PID) (word, bool, error)
	// here reports whether a PID is bound to a content that the store has.
	here(id pir.PID, content cid.CID) (bool, error)
	// description returns the PIR of a PID that the node may build from, or the reason why there is none. It never returns nil.
	description(id pir.PID) *description
	// alias notes that a PID is the resolved PID of a PIR, so that the policy judges it by the name in that PIR.
	alias(resolved pir.PID, p *pir.PIR)
	// held returns the content of a fetch whose hash names a tree that the store has.
	held(p *pir.PIR) (cid.CID, bool, error)
	// others reports whether content can come from peers: there are peers, and the policy trusts a signer.
	others() bool
}

// settled is how a PID gets its content.
type settled struct {
	how protocol.How
	// cid is the content; zero if the node has to make it.
	cid  cid.CID
	word word
	// resolved is the resolved PID whose content keeps this one.
	resolved pir.PID
	text     []byte // the resolved PIR
	d        *description
	p        *pir.PIR // of d; nil if the node knows none that it may build from
}

const (
	// unranked is the rank of a PID that the node cannot make: higher than all others.
	unranked = math.MaxInt
	// maxPlannedReferences bounds the references that a plan looks at; the request itself follows all (Options.MaxReferences).
	maxPlannedReferences = 2000
)

func newPlanner(f facts, most int) *planner {
	p := &planner{facts: f, most: min(most, maxPlannedReferences), lost: map[pir.PID]bool{}, ranks: map[pir.PID]int{}}
	p.reset()
	return p
}

// reset drops all decisions, because there are new facts.
func (p *planner) reset() {
	p.settled, p.planned, p.asked = map[pir.PID]*settled{}, map[pir.PID]bool{}, map[pir.PID]bool{}
	p.err = nil
	p.closed, p.plan, p.unknown = map[pir.PID]bool{}, &protocol.Plan{}, nil
}

// make returns the plan for the wanted PIDs, and the PIDs that the caller should ask peers about.
func (p *planner) make(wanted []pir.PID) (*protocol.Plan, []pir.PID, error) {
	p.reset()
	for _, id := range wanted {
		p.schedule(id)
	}
	p.closure(wanted, unranked, map[pir.PID]bool{})
	return p.plan, p.unknown, p.err
}

// settle decides how a PID gets its content, as far as the facts allow.
func (p *planner) settle(id pir.PID) *settled {
	if s := p.settled[id]; s != nil {
		return s
	}
	d := p.description(id)
	s := &settled{how: protocol.Impossible, d: d, p: d.p}
	p.settled[id] = s // set before its inputs are settled: no PIR can be its own input, because its PID is its hash
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

// settleResolved checks whether early cutoff keeps a PID: whether another PID with the same resolved PIR has content.
func (p *planner) settleResolved(s *settled) {
	inputs := s.p.Inputs()
	for _, input := range inputs {
		if p.settle(input).cid.IsZero() {
			return
		}
	}
	if len(inputs) == 0 {
		return // the PIR is its own resolved PIR
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
		if s.p.Kind.Builds() {
			p.ask(resolved)
		}
	case p.isHere(resolved, w.cid) || p.facts.others() && !p.lost[resolved]:
		s.how, s.cid, s.word, s.resolved, s.text = protocol.Keep, w.cid, w, resolved, text
	}
}

// schedule adds the step of a PID, after the steps that it needs.
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
				step.Maybe = true // the input may get the same content as another variant of it
			}
		}
		if s.p.Kind.Builds() {
			p.closure(s.p.Tools(), p.rank(id), p.closed)
		}
	}
	p.plan.Steps = append(p.plan.Steps, step)
}

// closure schedules the references of PIDs, as far as they are known. If a reference has a rank lower than below, the node may make it. Any
// other reference comes by other signers' claims only, so that no task can wait for itself.
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

// comes reports whether the content of a PID is present or comes from peers, so that the node makes nothing for it.
func (s *settled) comes() bool { return s.how == protocol.Reuse || s.how == protocol.Receive }

// rank returns the length of the longest chain of PIRs below a PID, so the inputs of a PID have a lower rank. It returns unranked for a PID that
// the node cannot make.
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

// ask notes that peers may have statements about a PID.
func (p *planner) ask(id pir.PID) {
	if !p.asked[id] {
		p.asked[id] = true
		p.unknown = append(p.unknown, id)
	}
}

// note keeps the first error of reading a fact.
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

// description notes the error of reading a PIR. A PIR that does not exist is no such error.
func (p *planner) description(id pir.PID) *description {
	d := p.facts.description(id)
	if protocol.CodeOf(d.err) != protocol.NotFound {
		p.note(d.err)
	}
	return d
}
