package trust

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"sync"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

// A Policy keeps the policy of a home in its file. It is safe for use by several goroutines.
type Policy struct {
	path string
	mu   sync.Mutex
	p    *protocol.Policy // replaced as a whole
}

// OpenPolicy reads the policy. Without a file no signer counts.
func OpenPolicy(path string) (*Policy, error) {
	f := &Policy{path: path, p: &protocol.Policy{}}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	v, err := nuon.Parse(b) // users may edit the file
	if err == nil {
		b, err = nuon.Encode(v)
	}
	if err == nil {
		f.p, err = protocol.DecodePolicy(b)
	}
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "%s: %w", path, err).WithHint("put it right, or remove it and name the signers again: nuka trust add")
	}
	return f, nil
}

// Get returns the present policy. It never changes: Add and Remove replace it as a whole.
func (f *Policy) Get() *protocol.Policy {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.p
}

// Add adds a signer to the rule for some packages. It makes that rule if there is none, before the rule for all packages.
func (f *Policy) Add(a *protocol.TrustArgs) error {
	return f.change(func(p *protocol.Policy) error { return addSigner(p, a) })
}

// Remove removes a signer from one rule, or from all.
// If a rule needs more signers that agree than it has left, that is an error, unless a says how many it needs from now on.
func (f *Policy) Remove(a *protocol.TrustArgs) error {
	return f.change(func(p *protocol.Policy) error { return removeSigner(p, a) })
}

// change replaces the policy by a copy that edit has changed.
func (f *Policy) change(edit func(*protocol.Policy) error) error {
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
		return protocol.Errorf(protocol.Invalid, "%w", err)
	}
	if err := atomicfile.Write(f.path, b); err != nil {
		return err
	}
	f.p = p
	return nil
}

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
		r.Need = a.Need // if it is larger than the number of signers, no statement counts until more are added
	}
	return nil
}

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
