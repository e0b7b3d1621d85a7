package protocol

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// A Question is the input of Policy.Decide: a PID and what is known about it.
type Question struct {
	PID pir.PID
	// Described reports that Name and Platform are those in the PID's PIR.
	// If it is false, they are ignored: the package may have any name, so every rule that could apply to it must be satisfied.
	Described bool
	Name      string
	Platform  pir.Platform
	Own       Key // the node's key
	// Statements are all known attestations about the PID, with verified signatures, in any order.
	Statements []Attestation
	// Heads are the newest known signed heads of signers.
	Heads map[Key]*Head
	Now   time.Time
}

// A Vote is one signer's claim, and whether it counts.
type Vote struct {
	Signer  Key
	Label   string
	CID     cid.CID
	Counts  bool
	Because string // the reason if it does not count
	// Ahead is how far the signer's clock is ahead of this machine's, or this machine's behind; 0 if the difference is small.
	Ahead time.Duration
}

// A Decision is the result of Policy.Decide.
type Decision struct {
	// CID is the content of the PID; zero if undecided.
	CID cid.CID
	// Statement is one of the attestations that counted; nil if undecided.
	Statement *Attestation
	// Refs are the references that at least as many signers name as must agree on the content.
	Refs  []pir.PID
	Votes []Vote
	// Need is how many signers must agree. Missing is how many more the best supported content needs.
	Need, Missing int
	// Why explains the decision, for display.
	Why string
}

// Decide decides which content a PID has.
// A signer that claims two contents for the PID has no vote there. A signer whose key is revoked has no vote at all.
// If two contents have enough votes, Decide takes neither.
// If the package's name is not known, a content counts only if it would count under every possible name: see Policy.about.
func (p *Policy) Decide(q *Question) *Decision {
	d := &Decision{}
	rules := p.about(q)
	bySigner := map[Key][]*Attestation{}
	var order []Key
	for i := range q.Statements {
		a := &q.Statements[i]
		if a.PID != q.PID || !a.Via.IsZero() {
			continue
		}
		if len(bySigner[a.Signer]) == 0 {
			order = append(order, a.Signer)
		}
		bySigner[a.Signer] = append(bySigner[a.Signer], a)
	}
	slices.SortFunc(order, func(a, b Key) int { return slices.Compare(a[:], b[:]) })
	var votes []*Attestation
	for _, key := range order {
		a, because := newest(bySigner[key], q.Now)
		v := Vote{Signer: key, CID: a.CID, Because: because, Ahead: Ahead(a.Issued, q.Now)}
		label, named := labelOf(rules, key)
		switch head := q.Heads[key]; {
		case key == q.Own && a.current(q.Now):
			// This node itself built it twice with two results; the newer one counts.
			v.Because, v.Label = "", "this node"
			d.CID, d.Statement, d.Refs, d.Why = a.CID, a, a.Refs, "this node has built it"
		case len(rules) == 0:
			v.Because = p.silence(q)
		case !named:
			v.Because = "the policy does not name this signer"
		default:
			v.Label = label
			if head != nil && head.Revoked {
				v.Because = "its key was revoked"
			}
		}
		v.Counts = v.Because == ""
		if v.Counts && key != q.Own {
			votes = append(votes, a)
		}
		d.Votes = append(d.Votes, v)
	}
	for _, rule := range rules {
		d.Need = max(d.Need, rule.Need)
	}
	switch {
	case d.Statement != nil:
	case len(rules) == 0:
		d.Why = p.silence(q)
	default:
		d.count(votes, rules, q.Described)
	}
	return d
}

// about returns the rules that a content must satisfy. If there are none, only the node's own attestation counts.
// If the package is described, that is the first rule that matches it. Otherwise it is each rule that could be the first to match:
// those up to the first rule for every name and platform. If the policy has no such rule, no rule may match the package,
// so about returns none. The conditions of the policy's user come on top of that.
func (p *Policy) about(q *Question) []*Rule {
	rules, all := couldMatch(p.Rules, q)
	if !all {
		return nil
	}
	more, _ := couldMatch(p.User, q)
	return append(rules, more...)
}

// couldMatch returns the rules that could be the first to match a package: one if its name is known. It returns false if none may match.
func couldMatch(list []Rule, q *Question) (rules []*Rule, all bool) {
	if q.Described {
		if rule := (&Policy{Rules: list}).Rule(q.Name, q.Platform); rule != nil {
			return []*Rule{rule}, true
		}
		return nil, false
	}
	for i := range list {
		rules = append(rules, &list[i])
		if list[i].general() {
			return rules, true
		}
	}
	return rules, false
}

// general reports whether the rule matches every package.
func (r *Rule) general() bool { return strings.Trim(r.Names, "*") == "" && r.Platform == "" }

// silence returns the reason why no rule applies to a package.
func (p *Policy) silence(q *Question) string {
	if !q.Described && len(p.Rules) > 0 {
		return "this node does not know its name, so no rule for names can apply"
	}
	return "the policy trusts no signer for this package"
}

// labelOf returns the label of a signer in the rules, and whether one of them names the signer.
func labelOf(rules []*Rule, key Key) (label string, named bool) {
	for _, rule := range rules {
		if i := slices.IndexFunc(rule.Signers, func(s Signer) bool { return s.Key == key }); i >= 0 {
			if label = rule.Signers[i].Label; label != "" {
				return label, true
			}
			named = true
		}
	}
	return "", named
}

// count takes the content that has enough votes under each of the rules.
func (d *Decision) count(votes []*Attestation, rules []*Rule, described bool) {
	because := "this node does not know its name, so each rule that could match must agree"
	if described {
		because = "the machine's rule and the user's rule must agree"
	}
	for i, rule := range rules {
		one := rule.count(votes)
		if len(rules) > 1 {
			one.Why = fmt.Sprintf("%s; the rule for %s: %s", because, rule.Names, one.Why)
		}
		switch {
		case one.Statement == nil:
			d.CID, d.Statement, d.Refs, d.Missing, d.Why = cid.CID{}, nil, nil, one.Missing, one.Why
			return
		case i == 0:
			d.CID, d.Statement, d.Refs, d.Why = one.CID, one.Statement, one.Refs, one.Why
		case one.CID != d.CID:
			d.CID, d.Statement, d.Refs = cid.CID{}, nil, nil
			d.Why = fmt.Sprintf("%s, and the rules for %s and %s accept different contents", because, rules[0].Names, rule.Names)
			return
		default: // each rule must take a reference, too
			d.Refs = slices.DeleteFunc(d.Refs, func(ref pir.PID) bool { return !slices.Contains(one.Refs, ref) })
			d.Why = one.Why
		}
	}
}

// count takes the content with enough votes from the rule's signers.
func (r *Rule) count(votes []*Attestation) *Decision {
	d := &Decision{}
	support := map[cid.CID][]*Attestation{}
	for _, a := range votes {
		if slices.ContainsFunc(r.Signers, func(s Signer) bool { return s.Key == a.Signer }) {
			support[a.CID] = append(support[a.CID], a)
		}
	}
	best := 0
	var agreed []cid.CID
	for c, statements := range support {
		best = max(best, len(statements))
		if len(statements) >= r.Need {
			agreed = append(agreed, c)
		}
	}
	switch {
	case len(agreed) == 1:
		d.CID, d.Statement = agreed[0], support[agreed[0]][0]
		named := map[pir.PID]int{}
		for _, a := range support[d.CID] {
			for _, ref := range a.Refs {
				if named[ref]++; named[ref] == r.Need {
					d.Refs = append(d.Refs, ref)
				}
			}
		}
		d.Refs = SortRefs(d.Refs)
		d.Why = fmt.Sprintf("%d of %d signers agree, %d are needed", best, len(r.Signers), r.Need)
	case len(agreed) > 1:
		d.Why = fmt.Sprintf("%d different contents have the %d required votes", len(agreed), r.Need)
	default:
		d.Missing = r.Need - best
		d.Why = fmt.Sprintf("%d of %d required votes", best, r.Need)
	}
	return d
}

// Ahead returns a lower bound of how far an issuer's clock is ahead; 0 if that is at most toldSkew.
func Ahead(issued, now time.Time) time.Duration {
	if ahead := issued.Sub(now); ahead > toldSkew {
		return ahead.Round(time.Second)
	}
	return 0
}

// current reports whether an attestation is valid at a time.
func (a *Attestation) current(now time.Time) bool {
	return (a.Expires.IsZero() || now.Before(a.Expires)) && a.Issued.Before(now.Add(MaxSkew))
}

// newest returns one signer's newest claim about a PID and, if that does not count, the reason.
func newest(statements []*Attestation, now time.Time) (*Attestation, string) {
	var valid []*Attestation
	contents := map[cid.CID]bool{}
	for _, a := range statements {
		if a.current(now) {
			valid = append(valid, a)
			contents[a.CID] = true
		}
	}
	last := func(list []*Attestation) *Attestation {
		return slices.MaxFunc(list, func(a, b *Attestation) int {
			if c := a.Issued.Compare(b.Issued); c != 0 {
				return c
			}
			return strings.Compare(a.CID.String(), b.CID.String())
		})
	}
	switch {
	case len(valid) == 0:
		a := last(statements)
		if a.Issued.After(now.Add(MaxSkew)) {
			return a, "it is from the future, " + a.Issued.UTC().Format(time.DateTime)
		}
		return a, "it expired " + a.Expires.UTC().Format(time.DateTime)
	case len(contents) > 1:
		return last(valid), fmt.Sprintf("its statements name %d different contents", len(contents))
	}
	return last(valid), ""
}
