package osv

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recordOf returns the text of a record about one package.
func recordOf(affected string) string {
	return `{"id":"X-1","affected":[{"package":{"ecosystem":"npm","name":"p"},` + affected + `}]}`
}

func events(list string) string {
	return recordOf(`"ranges":[{"type":"SEMVER","events":[` + list + `]}]`)
}

// TestEvaluate has the cases of the evaluation algorithm of OSV's schema.
func TestEvaluate(t *testing.T) {
	for _, c := range []struct {
		name, record string
		affected     map[string]string // version to the fixed one, or "-" for none
		clean        []string
	}{
		{"unfixed", events(`{"introduced":"1.0.0"}`), map[string]string{"1.0.0": "-", "9.0.0": "-"}, []string{"0.9.0", "1.0.0-rc.1"}},
		{"fixed", events(`{"introduced":"1.0.0"},{"fixed":"1.2.0"}`), map[string]string{"1.0.0": "1.2.0", "1.1.9": "1.2.0", "1.2.0-rc.1": "1.2.0"}, []string{"0.9.0", "1.2.0", "2.0.0"}},
		{"several in one range", events(`{"introduced":"0"},{"fixed":"1.5.0"},{"introduced":"2.0.0"},{"fixed":"2.3.0"}`), map[string]string{"0.0.1": "1.5.0", "2.1.0": "2.3.0"}, []string{"1.5.0", "1.9.0", "2.3.0"}},
		{"unsorted", events(`{"fixed":"2.3.0"},{"introduced":"2.0.0"},{"fixed":"1.5.0"},{"introduced":"0"}`), map[string]string{"0.0.1": "1.5.0", "2.1.0": "2.3.0"}, []string{"1.5.0", "2.3.0"}},
		{"zero is before everything", events(`{"introduced":"0"},{"fixed":"0.0.1"}`), map[string]string{"0.0.0": "0.0.1", "0.0.0-alpha": "0.0.1"}, []string{"0.0.1"}},
		{"last affected", events(`{"introduced":"1.0.0"},{"last_affected":"1.4.0"}`), map[string]string{"1.4.0": "-"}, []string{"1.4.1", "0.1.0"}},
		{"one version", events(`{"introduced":"1.0.0"},{"last_affected":"1.0.0"}`), map[string]string{"1.0.0": "-"}, []string{"1.0.1", "0.9.9"}},
		{"limit", events(`{"introduced":"1.0.0"},{"limit":"2.0.0"}`), map[string]string{"1.9.0": "-"}, []string{"2.0.0", "3.0.0", "0.1.0"}},
		{"no limit", events(`{"introduced":"1.0.0"},{"limit":"*"}`), map[string]string{"9.0.0": "-"}, []string{"0.1.0"}},
		{"two ranges", recordOf(`"ranges":[{"type":"SEMVER","events":[{"introduced":"1.0.0"},{"fixed":"1.1.0"}]},{"type":"SEMVER","events":[{"introduced":"3.0.0"}]}]`),
			map[string]string{"1.0.5": "1.1.0", "3.1.0": "-"}, []string{"2.0.0"}},
		{"two ranges, one without a fix", recordOf(`"ranges":[{"type":"SEMVER","events":[{"introduced":"1.0.0"},{"fixed":"1.1.0"}]},{"type":"SEMVER","events":[{"introduced":"1.0.0"}]}]`),
			map[string]string{"1.0.5": "-"}, nil},
		{"versions only", recordOf(`"versions":["1.0.0","v1.1.0"]`), map[string]string{"1.0.0": "-", "1.1.0": "-"}, []string{"1.0.1"}},
		{"versions and a range", recordOf(`"versions":["0.5.0"],"ranges":[{"type":"SEMVER","events":[{"introduced":"1.0.0"},{"fixed":"1.1.0"}]}]`),
			map[string]string{"0.5.0": "1.1.0", "1.0.0": "1.1.0"}, []string{"0.6.0"}},
		{"commits beside a range", recordOf(`"ranges":[{"type":"GIT","repo":"x","events":[{"introduced":"0"}]},{"type":"SEMVER","events":[{"introduced":"1.0.0"}]}]`),
			map[string]string{"1.0.0": "-"}, []string{"0.1.0"}},
		{"fixed and introduced at one version", events(`{"introduced":"0"},{"fixed":"1.0.0"},{"introduced":"1.0.0"}`), map[string]string{"0.1.0": "1.0.0", "1.0.0": "-"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := entryOf(t, c.record)
			for v, fixed := range c.affected {
				got := e.Evaluate(v)
				if want := strings.TrimPrefix(fixed, "-"); got.Verdict != IsAffected || got.Fixed != want {
					t.Errorf("%s: got %+v, want affected, fixed in %q", v, got, want)
				}
			}
			for _, v := range c.clean {
				if got := e.Evaluate(v); got.Verdict != NotAffected {
					t.Errorf("%s: got %+v, want not affected", v, got)
				}
			}
		})
	}
}

func entryOf(t testing.TB, text string) *Entry {
	t.Helper()
	r, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	e := r.Entries()
	if len(e) != 1 || !e[0].Check() {
		t.Fatalf("%d entries of %s", len(e), text)
	}
	return &e[0]
}

// TestMalformedIsNotClean has records that are wrong in the ways that databases had them: the version is unknown, and neither affected nor clean.
func TestMalformedIsNotClean(t *testing.T) {
	for name, text := range map[string]string{
		"empty event":          events(`{"introduced":"0"},{}`),
		"two keys in an event": events(`{"introduced":"0","fixed":"1.0.0"}`),
		"no introduced":        events(`{"fixed":"1.0.0"}`),
		"fixed and last":       events(`{"introduced":"0"},{"fixed":"1.0.0"},{"last_affected":"0.9.0"}`),
		"unknown event":        events(`{"introduced":"0"},{"mended":"1.0.0"}`),
		"event is a number":    events(`{"introduced":0}`),
		"fixed is no version":  events(`{"introduced":"0"},{"fixed":"<not-affected>"}`),
		"missing type":         recordOf(`"ranges":[{"events":[{"introduced":"0"}]}]`),
		"unknown type":         recordOf(`"ranges":[{"type":"DATE","events":[{"introduced":"0"}]}]`),
		"no versions":          recordOf(`"ranges":[]`),
		"a version is null":    recordOf(`"versions":[null]`),
		"long version":         events(`{"introduced":"` + strings.Repeat("1", 1<<20) + `"}`),
		"dots":                 events(`{"introduced":"1` + strings.Repeat(".0", 100_000) + `"}`),
		"control characters":   events(`{"introduced":"1.0.0\u0000"}`),
		"right to left":        events(`{"introduced":"1.0.0\u202e"}`),
		"only commits":         recordOf(`"ranges":[{"type":"GIT","repo":"x","events":[{"introduced":"0"}]}]`),
	} {
		t.Run(name, func(t *testing.T) {
			e := entryOf(t, text)
			if got := e.Evaluate("1.0.0"); got.Verdict != Unknown || got.Why == "" {
				t.Errorf("got %+v, want unknown with a reason", got)
			}
		})
	}
	e := entryOf(t, events(`{"introduced":"0"}`))
	for _, v := range []string{"", "latest", strings.Repeat("1", 1<<20), "1.0\x00"} {
		if got := e.Evaluate(v); got.Verdict != Unknown {
			t.Errorf("version %.20q: got %+v, want unknown", v, got)
		}
	}
	other := entryOf(t, `{"id":"X-1","affected":[{"package":{"ecosystem":"OSS-Fuzz","name":"p"},"versions":["1"],"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"}]}]}]}`)
	if got := other.Evaluate("1").Verdict; got != IsAffected {
		t.Errorf("a listed version of an ecosystem without order: got %v", got)
	}
	if got := other.Evaluate("2"); got.Verdict != Unknown {
		t.Errorf("a range of an ecosystem without order: got %+v, want unknown", got)
	}
}

// TestRefused has records that nothing can be done with.
func TestRefused(t *testing.T) {
	for name, text := range map[string]string{
		"cut":               `{"id":"X-1","affected":[`,
		"no id":             `{"affected":[]}`,
		"id is a line":      `{"id":"X\n1"}`,
		"id is a wildcard":  `{"id":"*"}`,
		"names all":         `{"id":"X-1","affected":[{"package":{"ecosystem":"npm","name":"*"},"versions":["1"]}]}`,
		"names nothing":     `{"id":"X-1","affected":[{"package":{"ecosystem":"npm","name":""},"versions":["1"]}]}`,
		"escape in a name":  `{"id":"X-1","affected":[{"package":{"ecosystem":"npm","name":"\u001b[2J"},"versions":["1"]}]}`,
		"path as ecosystem": `{"id":"X-1","affected":[{"package":{"ecosystem":"../x","name":"p"},"versions":["1"]}]}`,
		"too deep":          `{"id":"X-1","database_specific":` + strings.Repeat("[", 1_000_000) + strings.Repeat("]", 1_000_000) + `}`,
		"too large":         `{"id":"X-1","details":"` + strings.Repeat("x", MaxRecord) + `"}`,
	} {
		if r, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s: got %+v", name, r)
		}
	}
}

// TestFaultsAreKept has faults that do not keep a record from counting.
func TestFaultsAreKept(t *testing.T) {
	aliases := make([]string, 100_000)
	for i := range aliases {
		aliases[i] = fmt.Sprintf(`"A-%d"`, i)
	}
	for name, head := range map[string]string{
		"severity is a number":  `"severity":9.8`,
		"score is a number":     `"severity":[{"type":"CVSS_V3","score":9.8}]`,
		"score cannot be read":  `"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/garbage"}]`,
		"alias is null":         `"aliases":["CVE-2026-1",null]`,
		"withdrawn is no time":  `"withdrawn":true`,
		"a ring of aliases":     `"aliases":[` + strings.Join(aliases, ",") + `]`,
		"withdrawn is any text": `"withdrawn":"never"`,
	} {
		r, err := Parse([]byte(`{"id":"X-1",` + head + `,"affected":[{"package":{"ecosystem":"npm","name":"p"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]}`))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(r.Faults) == 0 || r.Withdrawn != "" || len(r.Aliases) > maxAliases || r.Entries()[0].Evaluate("1.0.0").Verdict != IsAffected {
			t.Errorf("%s: got %+v", name, r)
		}
	}
}

func TestLevels(t *testing.T) {
	for text, want := range map[string]Level{
		`"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]`:                       Critical,
		`"severity":[{"type":"CVSS_V4","score":"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"}]`:    Critical,
		`"severity":[{"type":"CVSS_V2","score":"AV:N/AC:L/Au:N/C:P/I:P/A:P"}]`:                                         High,
		`"severity":[{"type":"Ubuntu","score":"low"}]`:                                                                 Low,
		`"database_specific":{"severity":"MODERATE"}`:                                                                  Medium,
		`"severity":[],"database_specific":{"severity":"whatever"}`:                                                    Unrated,
		`"severity":[{"type":"CVSS_V3","score":"CVSS:3.0/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"}]`:                       Low,
		`"severity":[{"type":"Ubuntu","score":"low"},{"type":"CVSS_V2","score":"AV:N/AC:L/Au:N/C:C/I:C/A:C"}]`:         Critical,
		`"database_specific":{"severity":"HIGH"},"severity":[{"type":"CVSS_V2","score":"AV:L/AC:H/Au:M/C:N/I:N/A:P"}]`: Low,
	} {
		r, err := Parse([]byte(`{"id":"X-1",` + text + `}`))
		if err != nil || r.Level != want {
			t.Errorf("%s: got %v, %v, want %v", text, r.Level, err, want)
		}
	}
}

// TestShownTexts checks that nothing of a record can change a terminal.
func TestShownTexts(t *testing.T) {
	r, err := Parse([]byte(`{"id":"X-1","summary":"a\u001b[2Jb\u202ec\nd","references":[{"url":"https://x/\u0007"}],"affected":[{"package":{"ecosystem":"npm","name":"p"},"versions":["1.0.0"]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{r.Summary, r.URL} {
		if !isPlain(s) || s == "" {
			t.Errorf("%q", s)
		}
	}
}

func TestNames(t *testing.T) {
	r, err := Parse([]byte(`{"id":"X-1","affected":[{"package":{"ecosystem":"PyPI","name":"Foo_Bar.baz"},"versions":["1"]},{"package":{"ecosystem":"npm","name":"@Scope/Pkg"},"versions":["1"]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	e := r.Entries()
	if diff := cmp.Diff([]string{"foo-bar-baz", "@Scope/Pkg"}, []string{e[0].Name, e[1].Name}); diff != "" {
		t.Error(diff)
	}
}

// FuzzParse checks that what is read of any text has bounds, and stays the same on its way through a feed.
func FuzzParse(f *testing.F) {
	f.Add([]byte(events(`{"introduced":"0"},{"fixed":"1.0.0"}`)))
	f.Add([]byte(recordOf(`"versions":["1.0.0"]`)))
	f.Add([]byte(`{"id":"X-1","aliases":["CVE-1"],"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		if len(r.Aliases) > maxAliases || len(r.Summary) > maxSummary || !isPlain(r.Summary) || !isPlain(r.URL) {
			t.Errorf("%+v", r)
		}
		for _, e := range r.Entries() {
			text, err := json.Marshal(&e)
			if err != nil {
				t.Fatal(err)
			}
			var again Entry
			if err := json.Unmarshal(text, &again); err != nil || !again.Check() {
				t.Fatalf("%s: %v", text, err)
			}
			if diff := cmp.Diff(e.Evaluate("1.0.0"), again.Evaluate("1.0.0")); diff != "" {
				t.Errorf("%s: %s", text, diff)
			}
			e.Evaluate(e.Name)
		}
	})
}
