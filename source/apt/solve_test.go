package apt

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/apt/apttest"
)

// names returns the pins as words: a name, its version, and what it needs.
func names(pins []Pin) (out []string) {
	for _, p := range pins {
		out = append(out, p.Name+"="+p.Version+"("+strings.Join(p.Depends, " ")+")")
	}
	return out
}

func TestSolve(t *testing.T) {
	s := apttest.Stanza
	for name, c := range map[string]struct {
		index []string
		roots string
		o     *SolveOptions
		want  string
	}{
		"dependencies and circles": {
			[]string{s("aa", "1", "Depends: bb, cc (>= 2)", "Pre-Depends: dd") + s("bb", "1", "Depends: aa") + s("cc", "2") + s("dd", "1") + s("ee", "1")}, "aa", nil,
			"aa=1(bb cc dd) bb=1(aa) cc=2() dd=1()",
		},
		"newest version of several suites": {
			[]string{s("aa", "1.9", "Depends: bb") + s("aa", "1.10", "Depends: bb") + s("bb", "1"), s("bb", "1+deb13u1"), s("bb", "1~x")}, "aa", nil,
			"aa=1.10(bb) bb=1+deb13u1()",
		},
		"first alternative that exists": {
			[]string{s("aa", "1", "Depends: nope | bb (>= 2) | cc | dd") + s("bb", "1") + s("cc", "1") + s("dd", "1")}, "aa", nil, "aa=1(cc) cc=1()",
		},
		"an alternative that is chosen already": {
			[]string{s("aa", "1", "Depends: bb | cc") + s("bb", "1") + s("cc", "1")}, "aa cc", nil, "aa=1(cc) cc=1()",
		},
		"an edge to the first alternative, chosen later": {
			[]string{s("aa", "1", "Depends: bb | cc") + s("bb", "1") + s("cc", "1") + s("zz", "1", "Depends: bb")}, "aa cc zz", nil, "aa=1(bb) bb=1() cc=1() zz=1(bb)",
		},
		"a provided name": {
			[]string{s("aa", "1", "Depends: virtual") + s("bb", "1", "Provides: virtual", "Priority: optional") + s("cc", "1", "Provides: virtual", "Priority: standard")}, "aa", nil,
			"aa=1(cc) cc=1()",
		},
		"a preferred provider": {
			[]string{s("aa", "1", "Depends: virtual") + s("bb", "1", "Provides: virtual") + s("cc", "1", "Provides: virtual", "Priority: standard")}, "aa",
			&SolveOptions{Prefer: []string{"bb"}}, "aa=1(bb) bb=1()",
		},
		"a provided version": {
			[]string{s("aa", "1", "Depends: virtual (>= 2)") + s("bb", "9", "Provides: virtual") + s("cc", "1", "Provides: virtual (= 1)") + s("dd", "1", "Provides: virtual (= 2)")}, "aa", nil,
			"aa=1(dd) dd=1()",
		},
		"qualified names": {
			[]string{s("aa", "1", "Depends: bb:any, cc:arm64 | dd:amd64 (= 1)") + s("bb", "1") + s("cc", "1") + s("dd", "1")}, "aa", nil, "aa=1(bb dd) bb=1() dd=1()",
		},
		"conflicts with what is not chosen": {
			[]string{s("aa", "1", "Conflicts: bb, virtual", "Breaks: cc (<< 2)", "Provides: virtual", "Depends: cc") + s("bb", "1", "Provides: virtual") + s("cc", "2")}, "aa", nil,
			"aa=1(cc) cc=2()",
		},
		"kept versions": {
			[]string{s("aa", "1", "Depends: bb (>= 1), virtual") + s("bb", "3", "Provides: virtual")}, "aa", &SolveOptions{Keep: []Pin{{Name: "bb", Version: "2"}}}, "aa=1(bb)",
		},
	} {
		pins, err := index(t, c.index...).Solve(strings.Fields(c.roots), c.o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(c.want, strings.Join(names(pins), " ")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestSolveRefuses(t *testing.T) {
	s := apttest.Stanza
	for name, c := range map[string]struct {
		index, roots string
		o            *SolveOptions
		want         protocol.Code
	}{
		"an unknown root":             {s("aa", "1"), "bb", nil, protocol.NotFound},
		"a missing dependency":        {s("aa", "1", "Depends: bb"), "aa", nil, protocol.NotFound},
		"a too old dependency":        {s("aa", "1", "Depends: bb (>> 1)") + s("bb", "1"), "aa", nil, protocol.NotFound},
		"an unknown comparison":       {s("aa", "1", "Depends: bb (~ 1)") + s("bb", "1"), "aa", nil, protocol.NotFound},
		"another architecture's":      {s("aa", "1", "Depends: bb:arm64") + s("bb", "1"), "aa", nil, protocol.NotFound},
		"a conflict":                  {s("aa", "1", "Conflicts: bb") + s("bb", "1"), "aa bb", nil, protocol.Invalid},
		"a conflict by version":       {s("aa", "1", "Breaks: bb (<< 2)") + s("bb", "1"), "aa bb", nil, protocol.Invalid},
		"a conflict by provided name": {s("aa", "1", "Conflicts: virtual") + s("bb", "1", "Provides: virtual"), "aa bb", nil, protocol.Invalid},
		"a kept version that is too old": {
			s("aa", "1", "Depends: bb (= 3)") + s("bb", "3"), "aa", &SolveOptions{Keep: []Pin{{Name: "bb", Version: "2"}}}, protocol.NotFound,
		},
		"a conflict with what is kept": {
			s("aa", "1", "Breaks: bb (<< 3)") + s("bb", "3"), "aa", &SolveOptions{Keep: []Pin{{Name: "bb", Version: "2"}}}, protocol.Invalid,
		},
	} {
		pins, err := index(t, c.index).Solve(strings.Fields(c.roots), c.o)
		if err == nil {
			t.Errorf("%s: got %v", name, names(pins))
			continue
		}
		wantCode(t, err, c.want)
	}
}
