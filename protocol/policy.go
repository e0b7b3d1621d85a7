package protocol

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
)

const (
	// MaxPolicy bounds the bytes of a policy.
	MaxPolicy = 1 << 20
	// maxSigners bounds the signers of one rule.
	maxSigners = 1000
)

// A Policy says whose attestations count. Its rules are tried in order and the first that is about a package decides;
// a package that none is about is built here. A zero Policy trusts nobody.
// The node's own attestations always count, alone.
type Policy struct {
	Rules []Rule
}

// A Rule says for some packages which signers count and how many of them must agree.
type Rule struct {
	Names    string   // pattern of package names as path.Match has it, such as "*" or "lib*"
	Platform string   // as pir.Platform prints it; "" is every platform
	Signers  []Signer // whose word counts, each key once
	Need     int      // how many of them must have said the same; at least 1 and at most all
}

// A Signer is a key and what its user calls it.
type Signer struct {
	Key   Key
	Label string
}

// Check reports what is wrong with the policy.
func (p *Policy) Check() error {
	for i, r := range p.Rules {
		if _, err := path.Match(r.Names, "x"); err != nil || r.Names == "" {
			return fmt.Errorf("policy: rule %d: names %q is no pattern", i+1, r.Names)
		}
		if len(r.Signers) > maxSigners {
			return fmt.Errorf("policy: rule %d: more than %d signers", i+1, maxSigners)
		}
		if r.Need < 1 || r.Need > len(r.Signers) {
			return fmt.Errorf("policy: rule %d for %s: %d of %d signers cannot be", i+1, r.Names, r.Need, len(r.Signers))
		}
		seen := map[Key]bool{}
		for _, s := range r.Signers {
			if s.Key.IsZero() || seen[s.Key] {
				return fmt.Errorf("policy: rule %d for %s: a key is missing or there twice", i+1, r.Names)
			}
			seen[s.Key] = true
		}
	}
	return nil
}

// Rule returns the rule for a package, or nil.
func (p *Policy) Rule(name string, platform pir.Platform) *Rule {
	for i := range p.Rules {
		r := &p.Rules[i]
		if ok, _ := path.Match(r.Names, name); ok && (r.Platform == "" || r.Platform == platform.String()) {
			return r
		}
	}
	return nil
}

// Signers returns every key that counts for anything, sorted.
func (p *Policy) Signers() []Key {
	var keys []Key
	for _, r := range p.Rules {
		for _, s := range r.Signers {
			keys = append(keys, s.Key)
		}
	}
	slices.SortFunc(keys, func(a, b Key) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(keys)
}

// Encode returns the policy in canonical NUON.
func (p *Policy) Encode() ([]byte, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	rules := nuon.List{}
	for _, r := range p.Rules {
		signers := nuon.List{}
		for _, s := range r.Signers {
			rec := nuon.Record{"key": s.Key.String()}
			if s.Label != "" {
				rec["label"] = s.Label
			}
			signers = append(signers, rec)
		}
		rec := nuon.Record{"names": r.Names, "signers": signers, "need": int64(r.Need)}
		if r.Platform != "" {
			rec["platform"] = r.Platform
		}
		rules = append(rules, rec)
	}
	return nuon.Encode(nuon.Record{"policy": int64(1), "rules": rules})
}

// DecodePolicy reads a policy from canonical NUON.
func DecodePolicy(canonical []byte) (*Policy, error) {
	if len(canonical) > MaxPolicy {
		return nil, fmt.Errorf("decode policy: %d bytes are more than %d", len(canonical), MaxPolicy)
	}
	rec, err := nuon.DecodeRecord(canonical)
	if err != nil {
		return nil, fmt.Errorf("decode policy: %w", err)
	}
	p := &Policy{}
	rules, _ := rec["rules"].(nuon.List)
	for _, v := range rules {
		rule, _ := v.(nuon.Record)
		r := Rule{}
		r.Names, _ = rule["names"].(string)
		r.Platform, _ = rule["platform"].(string)
		need, _ := rule["need"].(int64)
		r.Need = int(need)
		signers, _ := rule["signers"].(nuon.List)
		for _, v := range signers {
			signer, _ := v.(nuon.Record)
			text, _ := signer["key"].(string)
			key, err := ParseKey(text)
			if err != nil {
				return nil, fmt.Errorf("decode policy: %w", err)
			}
			label, _ := signer["label"].(string)
			r.Signers = append(r.Signers, Signer{key, label})
		}
		p.Rules = append(p.Rules, r)
	}
	again, err := p.Encode()
	if err != nil {
		return nil, fmt.Errorf("decode policy: %w", err)
	}
	if string(again) != string(canonical) {
		return nil, errors.New("decode policy: unknown or malformed field")
	}
	return p, nil
}

// A Question is what a Policy decides about.
type Question struct {
	PID      pir.PID
	Name     string
	Platform pir.Platform
	Own      Key // the node's key
	// Statements are all that is known to have been said about the PID, with verified signatures, in any order.
	Statements []Attestation
	// Heads are the newest known heads of signers.
	Heads map[Key]*Head
	Now   time.Time
}

// A Vote is one signer's word and whether it counts.
type Vote struct {
	Signer  Key
	Label   string
	CID     cid.CID
	Counts  bool
	Because string // why it does not count
	// Ahead is how far its signer's clock is ahead of this machine's, or this one's behind, if it is worth telling.
	Ahead time.Duration
}

// A Decision is what a policy makes of a question.
type Decision struct {
	// CID is what the PID's content is; zero if undecided.
	CID cid.CID
	// Statement is one that counted; nil if undecided.
	Statement *Attestation
	// Refs are the references that as many signers have named as must agree about the content.
	Refs  []pir.PID
	Votes []Vote
	// Need and Missing say how many signers must agree and how many more it takes for the best supported content.
	Need, Missing int
	// Why says in words what decided.
	Why string
}

// Decide says which content a PID has, by whose word.
// A signer that has said two things about a PID has no vote there, and one whose key was revoked has none anywhere.
// When two contents have enough votes, neither is taken.
func (p *Policy) Decide(q *Question) *Decision {
	d := &Decision{}
	rule := p.Rule(q.Name, q.Platform)
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
	support := map[cid.CID][]*Attestation{}
	for _, key := range order {
		a, because := newest(bySigner[key], q.Now)
		v := Vote{Signer: key, CID: a.CID, Because: because, Ahead: Ahead(a.Issued, q.Now)}
		switch head := q.Heads[key]; {
		case key == q.Own && a.current(q.Now):
			// What was built here twice with two results is known here; the newer one counts.
			v.Because, v.Label = "", "this node"
			d.CID, d.Statement, d.Refs, d.Why = a.CID, a, a.Refs, "this node has built it"
		case rule == nil:
			v.Because = "no rule of the policy is about this package"
		default:
			i := slices.IndexFunc(rule.Signers, func(s Signer) bool { return s.Key == key })
			if i < 0 {
				v.Because = "the policy does not name this signer"
				break
			}
			v.Label = rule.Signers[i].Label
			if head != nil && head.Revoked {
				v.Because = "its key was revoked"
			}
		}
		v.Counts = v.Because == ""
		if v.Counts && key != q.Own {
			support[a.CID] = append(support[a.CID], a)
		}
		d.Votes = append(d.Votes, v)
	}
	if rule != nil {
		d.Need = rule.Need
	}
	if d.Statement == nil {
		d.count(support, rule)
	}
	return d
}

// count takes the content with enough votes.
func (d *Decision) count(support map[cid.CID][]*Attestation, rule *Rule) {
	if rule == nil {
		d.Why = "the policy trusts nobody for this package"
		return
	}
	best := 0
	var agreed []cid.CID
	for c, statements := range support {
		best = max(best, len(statements))
		if len(statements) >= rule.Need {
			agreed = append(agreed, c)
		}
	}
	switch {
	case len(agreed) == 1:
		d.CID, d.Statement = agreed[0], support[agreed[0]][0]
		named := map[pir.PID]int{}
		for _, a := range support[d.CID] {
			for _, ref := range a.Refs {
				if named[ref]++; named[ref] == rule.Need {
					d.Refs = append(d.Refs, ref)
				}
			}
		}
		d.Refs = SortRefs(d.Refs)
		d.Why = fmt.Sprintf("%d of %d signers agree, %d are needed", best, len(rule.Signers), rule.Need)
	case len(agreed) > 1:
		d.Why = fmt.Sprintf("%d different contents have the %d votes that are needed", len(agreed), rule.Need)
	default:
		d.Missing = rule.Need - best
		d.Why = fmt.Sprintf("%d of the %d votes that are needed", best, rule.Need)
	}
}

// Ahead is how far the clock of who issued something is ahead, at least; 0 if it is so little that it need not be told.
func Ahead(issued, now time.Time) time.Duration {
	if ahead := issued.Sub(now); ahead > toldSkew {
		return ahead.Round(time.Second)
	}
	return 0
}

// current reports whether a statement is valid at a time.
func (a *Attestation) current(now time.Time) bool {
	return (a.Expires.IsZero() || now.Before(a.Expires)) && a.Issued.Before(now.Add(MaxSkew))
}

// newest returns what one signer says about a PID, and why that does not count, if so.
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
		return last(valid), fmt.Sprintf("it says %d different things about this package", len(contents))
	}
	return last(valid), ""
}
