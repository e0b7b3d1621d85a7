package osv

import (
	"fmt"
	"testing"
)

// TestNotice reads the columns that a feed may add. What is unknown or wrong hides nothing.
func TestNotice(t *testing.T) {
	for text, want := range map[string]struct {
		notice Notice
		epss   float64
		taken  bool
	}{
		`{"notice": "yanked", "epss": 0.04}`:                     {Yanked, 0.04, false},
		`{"notice": "deprecated", "exploited": true}`:            {Deprecated, 0, true},
		`{"notice": "harmless", "epss": 2}`:                      {"", 0, false},
		`{"notice": ["yanked"], "epss": "0.1"}`:                  {"", 0, false},
		`{"notice": "retracted", "epss": -1, "severity": "LOW"}`: {Retracted, 0, false},
		`[]`: {"", 0, false},
	} {
		r, err := Parse(fmt.Appendf(nil, `{"id": "X-1", "affected": [{"package": {"ecosystem": "npm", "name": "a"}, "versions": ["1.0.0"]}], "database_specific": %s}`, text))
		if err != nil {
			t.Fatal(err)
		}
		e := r.Entries()[0]
		if !e.Check() || e.Notice != want.notice || e.EPSS != want.epss || e.Exploited != want.taken {
			t.Errorf("%s: got %q, %v, %v", text, e.Notice, e.EPSS, e.Exploited)
		}
	}
	e := Entry{ID: "X-1", Ecosystem: "npm", Name: "a", Notice: "harmless", EPSS: 7}
	if !e.Check() || e.Notice != "" || e.EPSS != 0 {
		t.Errorf("from a shard: got %q, %v", e.Notice, e.EPSS)
	}
}
