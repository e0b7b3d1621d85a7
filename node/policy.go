package node

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

// A policyFile keeps the policy of a home. It is safe for use by several goroutines.
type policyFile struct {
	path string
	mu   sync.Mutex
	p    *protocol.Policy // replaced as a whole
}

// openPolicy reads the policy; without a file it trusts nobody.
func openPolicy(path string) (*policyFile, error) {
	f := &policyFile{path: path, p: &protocol.Policy{}}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	v, err := nuon.Parse(b) // people may write it too
	if err == nil {
		b, err = nuon.Encode(v)
	}
	if err == nil {
		f.p, err = protocol.DecodePolicy(b)
	}
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "%s: %v", path, err).WithHint("put it right, or remove it and name the signers again: nuka trust add")
	}
	return f, nil
}

// Get returns the policy; it is not changed.
func (f *policyFile) Get() *protocol.Policy {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.p
}

// change replaces the policy by what edit makes of a copy.
func (f *policyFile) change(edit func(*protocol.Policy) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &protocol.Policy{}
	for _, r := range f.p.Rules {
		r.Signers = slices.Clone(r.Signers)
		p.Rules = append(p.Rules, r)
	}
	if err := edit(p); err != nil {
		return err
	}
	b, err := p.Encode()
	if err != nil {
		return protocol.Errorf(protocol.Invalid, "%v", err)
	}
	if err := atomicfile.Write(f.path, b); err != nil {
		return err
	}
	f.p = p
	return nil
}

// addSigner adds a signer to the rule for some packages, which is made if need be: before the rule for all of them.
func addSigner(p *protocol.Policy, a *protocol.TrustArgs) error {
	if a.Need < 0 {
		return protocol.Errorf(protocol.Invalid, "trust: %d signers cannot agree", a.Need)
	}
	if a.Key.IsZero() {
		return protocol.Errorf(protocol.Invalid, "trust: no key").WithHint("print it on the other node: nuka key show")
	}
	names := a.Names
	if names == "" {
		names = "*"
	}
	i := slices.IndexFunc(p.Rules, func(r protocol.Rule) bool { return r.Names == names && r.Platform == a.Platform })
	if i < 0 {
		i = len(p.Rules)
		if names != "*" || a.Platform != "" {
			if all := slices.IndexFunc(p.Rules, func(r protocol.Rule) bool { return r.Names == "*" && r.Platform == "" }); all >= 0 {
				i = all
			}
		}
		p.Rules = slices.Insert(p.Rules, i, protocol.Rule{Names: names, Platform: a.Platform, Need: 1})
	}
	r := &p.Rules[i]
	if j := slices.IndexFunc(r.Signers, func(s protocol.Signer) bool { return s.Key == a.Key }); j >= 0 {
		if a.Label != "" {
			r.Signers[j].Label = a.Label
		}
	} else {
		r.Signers = append(r.Signers, protocol.Signer{Key: a.Key, Label: a.Label})
	}
	if a.Need > 0 {
		r.Need = a.Need // of more signers than there are nobody's word counts, until they are added
	}
	return nil
}

// removeSigner removes a signer from one rule, or from all. A rule that has too few signers left needs fewer to agree
// only if it said so: it is an error otherwise.
func removeSigner(p *protocol.Policy, a *protocol.TrustArgs) error {
	found := false
	for i := range p.Rules {
		r := &p.Rules[i]
		if a.Names != "" && (r.Names != a.Names || r.Platform != a.Platform) {
			continue
		}
		n := len(r.Signers)
		r.Signers = slices.DeleteFunc(r.Signers, func(s protocol.Signer) bool { return s.Key == a.Key })
		if len(r.Signers) == n {
			continue
		}
		found = true
		if a.Need > 0 {
			r.Need = a.Need
		}
		if len(r.Signers) > 0 && r.Need > len(r.Signers) && r.Need <= n {
			return protocol.Errorf(protocol.Invalid, "trust: the rule for %s needs %d signers that agree and would have %d", r.Names, r.Need, len(r.Signers)).
				WithHint("set how many must agree: --need %d", len(r.Signers))
		}
	}
	if !found {
		return protocol.Errorf(protocol.NotFound, "trust: no rule names %s", a.Key).WithHint("see them all: nuka trust list")
	}
	p.Rules = slices.DeleteFunc(p.Rules, func(r protocol.Rule) bool { return len(r.Signers) == 0 })
	return nil
}

// trust answers a call of its name.
func (h *handler) trust(ctx context.Context, a protocol.TrustArgs) (any, error) {
	var err error
	switch a.Action {
	case protocol.ActionAdd:
		err = h.policy.change(func(p *protocol.Policy) error { return addSigner(p, &a) })
	case protocol.ActionRemove:
		err = h.policy.change(func(p *protocol.Policy) error { return removeSigner(p, &a) })
	case "":
	default:
		err = protocol.Errorf(protocol.Invalid, "trust: unknown action %q", a.Action)
	}
	if err != nil {
		return nil, err
	}
	h.swarms.wake()
	if a.Action != "" {
		h.swarms.news()
	}
	known, backward, ahead := h.heads.Known(), h.heads.Backward(), h.heads.Ahead()
	t := protocol.Trust{Rules: []protocol.TrustRule{}}
	for _, r := range h.policy.Get().Rules {
		rule := protocol.TrustRule{Names: r.Names, Platform: r.Platform, Need: r.Need}
		for _, s := range r.Signers {
			signer := protocol.TrustSigner{Key: s.Key, Label: s.Label, Backward: backward[s.Key], Ahead: ahead[s.Key]}
			if head := known[s.Key]; head != nil {
				signer.Revoked, signer.Next = head.Revoked, head.Next
				if !head.Revoked && !head.Fresh(time.Now()) {
					signer.Stale = head.Expires
				}
			}
			rule.Signers = append(rule.Signers, signer)
		}
		t.Rules = append(t.Rules, rule)
	}
	t.Resting, err = h.realizer.Resting(ctx)
	return t, err
}
