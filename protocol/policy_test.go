package protocol

import (
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

var now = time.Unix(1_750_000_000, 0)

func said(t testing.TB, signer byte, pid, content string, issued time.Duration) Attestation {
	a := Attestation{
		PID: pir.Sum([]byte(pid)), CID: cid.Sum(cid.Raw, []byte(content)),
		Issued: now.Add(issued), Expires: now.Add(issued + 90*24*time.Hour),
	}
	if err := a.Sign(key(signer)); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestDecide(t *testing.T) {
	two := &Policy{Rules: []Rule{
		{Names: "secret*", Signers: []Signer{{KeyOf(key(9)), ""}}, Need: 1},
		{Names: "*", Signers: []Signer{{KeyOf(key(1)), "ann"}, {KeyOf(key(2)), "bob"}, {KeyOf(key(3)), "eve"}}, Need: 2},
	}}
	if err := two.Check(); err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	for _, c := range []struct {
		name       string
		policy     *Policy
		pkg        string
		statements []Attestation
		heads      map[Key]*Head
		want       string // content, or "" for undecided
		why        string
	}{
		{"nothing said", two, "lua", nil, nil, "", "0 of 2 required votes"},
		{"two agree", two, "lua", []Attestation{said(t, 1, "p", "good", 0), said(t, 2, "p", "good", -day)}, nil, "good", "2 of 3 signers agree"},
		{"a liar is outvoted", two, "lua", []Attestation{said(t, 1, "p", "good", 0), said(t, 3, "p", "bad", 0), said(t, 2, "p", "good", 0)}, nil, "good", ""},
		{"a liar alone", two, "lua", []Attestation{said(t, 3, "p", "bad", 0)}, nil, "", "1 of 2 required votes"},
		{"one says it twice", two, "lua", []Attestation{said(t, 1, "p", "bad", 0), said(t, 1, "p", "bad", -day)}, nil, "", "1 of 2 required votes"},
		{"strangers do not count", two, "lua", []Attestation{said(t, 1, "p", "good", 0), said(t, 7, "p", "good", 0), said(t, 8, "p", "good", 0)}, nil, "", ""},
		{"equivocation is no vote", two, "lua", []Attestation{said(t, 1, "p", "a", 0), said(t, 1, "p", "b", -time.Hour), said(t, 2, "p", "a", 0)}, nil, "", ""},
		{"expired", two, "lua", []Attestation{said(t, 1, "p", "a", -91*day), said(t, 2, "p", "a", 0)}, nil, "", ""},
		{"from the future", two, "lua", []Attestation{said(t, 1, "p", "a", 2*day), said(t, 2, "p", "a", 0)}, nil, "", ""},
		{"a clock that is ahead", two, "lua", []Attestation{said(t, 1, "p", "a", 23*time.Hour), said(t, 2, "p", "a", 0)}, nil, "a", ""},
		{"replayed about another", two, "lua", []Attestation{said(t, 1, "q", "a", 0), said(t, 2, "q", "a", 0)}, nil, "", ""},
		{"revoked", two, "lua", []Attestation{said(t, 1, "p", "a", 0), said(t, 2, "p", "a", 0)}, map[Key]*Head{KeyOf(key(1)): {Revoked: true}}, "", ""},
		{"the first rule decides", two, "secret-thing", []Attestation{said(t, 1, "p", "a", 0), said(t, 2, "p", "a", 0)}, nil, "", "0 of 1 required votes"},
		{"own build", two, "lua", []Attestation{said(t, 5, "p", "mine", 0), said(t, 1, "p", "a", 0), said(t, 2, "p", "a", 0)}, nil, "mine", "this node"},
		{"more needed than there are", &Policy{Rules: []Rule{{Names: "*", Signers: two.Rules[1].Signers[:1], Need: 2}}}, "lua",
			[]Attestation{said(t, 1, "p", "good", 0)}, nil, "", "1 of 2 required votes"},
		{"trusts nobody", &Policy{}, "lua", []Attestation{said(t, 1, "p", "a", 0)}, nil, "", "trusts no signer"},
		{"a tie", &Policy{Rules: []Rule{{Names: "*", Signers: two.Rules[1].Signers, Need: 1}}}, "lua",
			[]Attestation{said(t, 1, "p", "a", 0), said(t, 2, "p", "b", 0)}, nil, "", "2 different contents"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := c.policy.Decide(&Question{
				PID: pir.Sum([]byte("p")), Described: true, Name: c.pkg, Own: KeyOf(key(5)), Statements: c.statements, Heads: c.heads, Now: now,
			})
			want := cid.CID{}
			if c.want != "" {
				want = cid.Sum(cid.Raw, []byte(c.want))
			}
			if d.CID != want || !strings.Contains(d.Why, c.why) || (d.Statement != nil) != (c.want != "") {
				t.Errorf("got %s, %q, %+v; want %q and %q", d.CID, d.Why, d.Votes, c.want, c.why)
			}
			for _, v := range d.Votes {
				if v.Counts == (v.Because != "") {
					t.Errorf("vote %+v: counts and why do not fit", v)
				}
			}
		})
	}
}

// TestDecideUnknownName checks that, while the name of a package is not known, a content counts only if it counts under every rule that could apply.
func TestDecideUnknownName(t *testing.T) {
	signers := func(seeds ...byte) (list []Signer) {
		for _, s := range seeds {
			list = append(list, Signer{Key: KeyOf(key(s))})
		}
		return list
	}
	all := Rule{Names: "*", Need: 1, Signers: signers(1, 3)}
	lib := Rule{Names: "lib*", Need: 2, Signers: signers(1, 2)}
	here := Rule{Names: "*", Platform: "linux-x86_64", Need: 1, Signers: signers(2)}
	for _, c := range []struct {
		name   string
		rules  []Rule
		signed map[byte]string // from each signer: the content it claims
		want   string
		why    string
	}{
		{"one rule for all", []Rule{all}, map[byte]string{1: "a"}, "a", "1 of 2 signers"},
		{"every rule agrees", []Rule{lib, all}, map[byte]string{1: "a", 2: "a"}, "a", ""},
		{"the strict rule is not satisfied", []Rule{lib, all}, map[byte]string{1: "a"}, "", "the rule for lib*: 1 of 2 required votes"},
		{"the lax rule is not satisfied", []Rule{lib, {Names: "*", Need: 1, Signers: signers(3)}}, map[byte]string{1: "a", 2: "a"}, "", "the rule for *: 0 of 1"},
		{"rules take different contents", []Rule{{Names: "lib*", Need: 1, Signers: signers(2)}, all}, map[byte]string{1: "a", 2: "b"}, "", "different contents"},
		{"a rule for a platform is one of them", []Rule{here, all}, map[byte]string{1: "a"}, "", "the rule for *: 0 of 1"},
		{"rules behind the one for all", []Rule{all, lib}, map[byte]string{1: "a"}, "a", ""},
		{"more stars than one", []Rule{{Names: "***", Need: 1, Signers: signers(1)}, lib}, map[byte]string{1: "a"}, "a", ""},
		{"no rule for all", []Rule{lib}, map[byte]string{1: "a", 2: "a"}, "", "this node does not know its name, so no rule for names can apply"},
		{"no rule", nil, map[byte]string{1: "a"}, "", "trusts no signer"},
		{"own work", []Rule{lib}, map[byte]string{5: "a", 1: "b", 2: "b"}, "a", "this node"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := &Question{PID: pir.Sum([]byte("p")), Own: KeyOf(key(5)), Now: now}
			for s, content := range c.signed {
				q.Statements = append(q.Statements, said(t, s, "p", content, 0))
			}
			d := (&Policy{Rules: c.rules}).Decide(q)
			want := cid.CID{}
			if c.want != "" {
				want = cid.Sum(cid.Raw, []byte(c.want))
			}
			if d.CID != want || (d.Statement == nil) != want.IsZero() || !strings.Contains(d.Why, c.why) {
				t.Errorf("got %s, %q; want %q and %q", d.CID, d.Why, c.want, c.why)
			}
			// Content that counts without a name counts with every name.
			for _, name := range []string{"lib", "libx", "zlib", ""} {
				named := *q
				named.Described, named.Name = true, name
				if got := (&Policy{Rules: c.rules}).Decide(&named); !d.CID.IsZero() && got.CID != d.CID {
					t.Errorf("as %q: got %s, want %s as without a name", name, got.CID, d.CID)
				}
			}
		})
	}
}

// TestDecideVia checks that an attestation with Via is no vote, whether its signer is this node or another.
func TestDecideVia(t *testing.T) {
	p := &Policy{Rules: []Rule{{Names: "*", Signers: []Signer{{KeyOf(key(1)), ""}}, Need: 1}}}
	for _, signer := range []byte{1, 5} {
		a := said(t, signer, "p", "a", 0)
		a.Via = pir.Sum([]byte("resolved"))
		if err := a.Sign(key(signer)); err != nil {
			t.Fatal(err)
		}
		d := p.Decide(&Question{PID: a.PID, Own: KeyOf(key(5)), Statements: []Attestation{a}, Now: now})
		if !d.CID.IsZero() || len(d.Votes) != 0 {
			t.Errorf("signer %d: got %+v", signer, d)
		}
		b, err := a.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeAttestation(b); err != nil || back.Via != a.Via {
			t.Errorf("got %v, %v", back, err)
		}
	}
}

func TestPolicyText(t *testing.T) {
	p := &Policy{Rules: []Rule{
		{Names: "lib*", Platform: "linux-x86_64", Signers: []Signer{{KeyOf(key(1)), "ann"}, {KeyOf(key(2)), ""}}, Need: 2},
		{Names: "*", Signers: []Signer{{KeyOf(key(3)), "eve"}}, Need: 1},
	}}
	vector(t, "policy.nuon", p.Encode, func(b []byte) (any, error) { return DecodePolicy(b) }, p)
	for name, change := range map[string]func(*Policy){
		"nobody":    func(p *Policy) { p.Rules[0].Signers = nil },
		"too many":  func(p *Policy) { p.Rules[0].Need = maxSigners + 1 },
		"none":      func(p *Policy) { p.Rules[0].Need = 0 },
		"twice":     func(p *Policy) { p.Rules[0].Signers[1].Key = p.Rules[0].Signers[0].Key },
		"pattern":   func(p *Policy) { p.Rules[0].Names = "[" },
		"any thing": func(p *Policy) { p.Rules[0].Names = "" },
	} {
		q := &Policy{Rules: []Rule{{Names: "lib*", Signers: []Signer{{KeyOf(key(1)), "ann"}, {KeyOf(key(2)), ""}}, Need: 2}}}
		change(q)
		if _, err := q.Encode(); err == nil {
			t.Errorf("%s: encodes", name)
		}
	}
}

// TestDecideClock checks that clocks may differ by a day, and that users are warned of those that are ahead.
func TestDecideClock(t *testing.T) {
	p := &Policy{Rules: []Rule{{Names: "*", Signers: []Signer{{KeyOf(key(1)), ""}}, Need: 1}}}
	for ahead, want := range map[time.Duration]struct {
		counts bool
		ahead  time.Duration
	}{
		-MaxSkew:              {true, 0}, // this machine's clock is ahead or the signer's is behind: that looks like an older attestation
		0:                     {true, 0},
		time.Minute:           {true, 0},
		5 * time.Hour:         {true, 5 * time.Hour},
		MaxSkew - time.Second: {true, MaxSkew - time.Second},
		MaxSkew + time.Minute: {false, MaxSkew + time.Minute},
	} {
		d := p.Decide(&Question{PID: pir.Sum([]byte("p")), Own: KeyOf(key(5)), Statements: []Attestation{said(t, 1, "p", "a", ahead)}, Now: now})
		if v := d.Votes[0]; v.Counts != want.counts || v.Ahead != want.ahead || d.CID.IsZero() == want.counts {
			t.Errorf("%s: got %+v, want %+v", ahead, v, want)
		}
	}
}

// TestUserPolicy checks that the policy of a user of a system daemon raises what the machine's policy requires, and never lowers it.
func TestUserPolicy(t *testing.T) {
	rule := func(names string, need int, seeds ...byte) Rule {
		r := Rule{Names: names, Need: need}
		for _, s := range seeds {
			r.Signers = append(r.Signers, Signer{Key: KeyOf(key(s))})
		}
		return r
	}
	for _, c := range []struct {
		name          string
		machine, user []Rule
		signed        map[byte]string
		want, unnamed string // the content with the package's name known, and without
	}{
		{"the user has no rule", []Rule{rule("*", 1, 1)}, nil, map[byte]string{1: "a"}, "a", "a"},
		{"the user has a rule for others", []Rule{rule("*", 1, 1)}, []Rule{rule("zlib", 1, 2)}, map[byte]string{1: "a"}, "a", ""},
		{"the user's signer alone", []Rule{rule("*", 1, 1)}, []Rule{rule("*", 1, 2)}, map[byte]string{2: "a"}, "", ""},
		{"the machine's signer alone", []Rule{rule("*", 1, 1)}, []Rule{rule("*", 1, 2)}, map[byte]string{1: "a"}, "", ""},
		{"both", []Rule{rule("*", 1, 1)}, []Rule{rule("*", 1, 2)}, map[byte]string{1: "a", 2: "a"}, "a", "a"},
		{"both, of different contents", []Rule{rule("*", 1, 1)}, []Rule{rule("*", 1, 2)}, map[byte]string{1: "a", 2: "b"}, "", ""},
		{"the machine has no rule", nil, []Rule{rule("*", 1, 2)}, map[byte]string{2: "a"}, "", ""},
		{"the machine has a rule for others", []Rule{rule("zlib", 1, 1)}, []Rule{rule("*", 1, 2)}, map[byte]string{1: "a", 2: "a"}, "", ""},
		{"the user needs more", []Rule{rule("*", 1, 1, 2, 3)}, []Rule{rule("lua", 2, 1, 2, 3)}, map[byte]string{1: "a"}, "", ""},
		{"the user needs more, and there are more", []Rule{rule("*", 1, 1, 2, 3)}, []Rule{rule("lua", 2, 1, 2, 3)}, map[byte]string{1: "a", 3: "a"}, "a", "a"},
		{"the user needs less", []Rule{rule("*", 2, 1, 2, 3)}, []Rule{rule("*", 1, 1, 2, 3)}, map[byte]string{1: "a"}, "", ""},
		{"own work", []Rule{rule("*", 1, 1)}, []Rule{rule("*", 1, 2)}, map[byte]string{5: "a"}, "a", "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			policy := (&Policy{Rules: c.machine}).With(&Policy{Rules: c.user})
			q := &Question{PID: pir.Sum([]byte("p")), Own: KeyOf(key(5)), Now: now}
			for s, content := range c.signed {
				q.Statements = append(q.Statements, said(t, s, "p", content, 0))
			}
			for described, content := range map[bool]string{true: c.want, false: c.unnamed} {
				q.Described, q.Name = described, "lua"
				want := cid.CID{}
				if content != "" {
					want = cid.Sum(cid.Raw, []byte(content))
				}
				d := policy.Decide(q)
				if d.CID != want {
					t.Errorf("name known %v: got %s, %q; want %q", described, d.CID, d.Why, content)
				}
				if alone := (&Policy{Rules: c.machine}).Decide(q); !d.CID.IsZero() && alone.CID != d.CID {
					t.Errorf("name known %v: the user's policy accepts what the machine's refuses: %q", described, alone.Why)
				}
			}
		})
	}
}
