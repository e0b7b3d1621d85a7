package protocol

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
)

const (
	// maxPolicy bounds the bytes of a policy.
	maxPolicy = 1 << 20
	// maxSigners bounds the signers of one rule.
	maxSigners = 1000
)

// A Policy says whose attestations count. The first of its rules that matches a package decides;
// a package that no rule matches is built here. The zero Policy trusts no signer.
// The node's own attestations always count, each alone.
type Policy struct {
	Rules []Rule
	// User are the conditions of With. They are not part of the encoded policy.
	User []Rule
}

// With returns a policy that counts a content only if p counts it, and the user's rule for the package counts it too. A package for which
// the user has no rule is decided by p alone. So a user's rules can raise what a machine's policy requires, and cannot lower it.
func (p *Policy) With(user *Policy) *Policy { return &Policy{Rules: p.Rules, User: user.Rules} }

// A Rule says which signers count for some packages and how many of them must agree.
type Rule struct {
	Names    string   // a pattern of package names for path.Match, such as "*" or "lib*"
	Platform string   // a platform as pir.Platform prints it; "" matches every platform
	Signers  []Signer // the signers whose claims count, each key once
	Need     int      // how many of them must agree, at least 1; if it exceeds the number of Signers, no claim counts
}

// A Signer is a key and the user's label for it.
type Signer struct {
	Key   Key
	Label string
}

// Check returns an error about the first fault in the policy, or nil.
func (p *Policy) Check() error {
	for i, r := range p.Rules {
		if _, err := path.Match(r.Names, "x"); err != nil || r.Names == "" {
			return fmt.Errorf("policy: rule %d: names %q is not a pattern", i+1, r.Names)
		}
		if len(r.Signers) > maxSigners {
			return fmt.Errorf("policy: rule %d: more than %d signers", i+1, maxSigners)
		}
		if r.Need < 1 || r.Need > maxSigners || len(r.Signers) == 0 {
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

// Rule returns the first rule that matches a package, or nil.
func (p *Policy) Rule(name string, platform pir.Platform) *Rule {
	for i := range p.Rules {
		r := &p.Rules[i]
		if ok, _ := path.Match(r.Names, name); ok && (r.Platform == "" || r.Platform == platform.String()) {
			return r
		}
	}
	return nil
}

// Signers returns every key in the rules, sorted.
func (p *Policy) Signers() []Key {
	var keys []Key
	for _, r := range slices.Concat(p.Rules, p.User) {
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
	if len(canonical) > maxPolicy {
		return nil, fmt.Errorf("decode policy: %d bytes are more than %d", len(canonical), maxPolicy)
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
