package advisory

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/advisory/feed"
	"github.com/MordragT/nuka/advisory/osv"
	"github.com/MordragT/nuka/pir"
)

var now = time.Unix(1_790_000_000, 0).UTC()

// records makes a feed of records: texts of OSV.
func records(t testing.TB, name string, texts ...string) Feed {
	t.Helper()
	return recordsAnd(t, name, nil, texts...)
}

func recordsAnd(t testing.TB, name string, stated []feed.Statement, texts ...string) Feed {
	t.Helper()
	var b feed.Builder
	for _, text := range texts {
		r, err := osv.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	b.State(stated...)
	return feedOf(t, name, &b)
}

// npm returns a record about one package. rest are further fields.
func npm(id, name, fixed, rest string) string {
	end := ""
	if fixed != "" {
		end = fmt.Sprintf(`,{"fixed":%q}`, fixed)
	}
	return fmt.Sprintf(`{"id":%q,%s"affected":[{"package":{"ecosystem":"npm","name":%q},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}%s]}]}]}`, id, rest, name, end)
}

func debian(id, release, fixed string) string {
	return fmt.Sprintf(`{"id":%q,"affected":[{"package":{"ecosystem":"Debian:%s","name":"zlib"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":%q}]}]}]}`, id, release, fixed)
}

func use(ecosystem, name, version string, path ...Step) Use {
	return Use{Part: Part{Ecosystem: ecosystem, Name: name, Version: version}, Root: "profile/default", Path: path}
}

func match(t testing.TB, uses []Use, feeds ...Feed) *Report {
	t.Helper()
	r, err := Match(uses, feeds)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func ids(list []Finding) (out []string) {
	for i := range list {
		out = append(out, list[i].ID)
	}
	return out
}

// TestFindings groups records of one vulnerability, takes the worst of what they say, and sorts the worst first.
func TestFindings(t *testing.T) {
	a := records(t, "a",
		npm("GHSA-1", "p", "1.0.1", `"aliases":["CVE-1"],"database_specific":{"severity":"LOW"},`),
		npm("CVE-2", "p", "", `"database_specific":{"severity":"CRITICAL"},`),
		npm("CVE-3", "p", "2.0.0", `"database_specific":{"exploited":true},`),
		npm("CVE-4", "p", "0.9.0", ""), npm("CVE-5", "p", "1.0.1", ""))
	b := records(t, "b", npm("CVE-1", "p", "1.2.0", `"database_specific":{"severity":"HIGH"},`), npm("CVE-4", "p", "3.0.0", ""), npm("CVE-5", "p", "", ""))
	r := match(t, []Use{use("npm", "p", "1.0.0"), use("npm", "q", "1.0.0")}, a, b)
	if diff := cmp.Diff([]string{"CVE-3", "CVE-2", "CVE-1", "CVE-4", "CVE-5"}, ids(r.Findings)); diff != "" {
		t.Fatal(diff)
	}
	one := r.Findings[2]
	if one.Fixed != "1.2.0" || one.LevelName != "high" || one.State != Upstream || !slices.Equal(one.IDs, []string{"CVE-1", "GHSA-1"}) || !slices.Equal(one.Feeds, []string{"a", "b"}) {
		t.Errorf("%+v", one)
	}
	// Two feeds contradict each other: the worst counts, and both are named.
	if four := r.Findings[3]; !slices.Equal(four.Feeds, []string{"b"}) || !slices.Equal(four.Denied, []string{"a"}) {
		t.Errorf("%+v", four)
	}
	if five := r.Findings[4]; five.Fixed != "" || five.State != NoFix {
		t.Errorf("%+v", five)
	}
	if r.Parts != 2 || r.Covered != 2 || len(r.Doubts)+len(r.Uncovered) > 0 {
		t.Errorf("%+v", r)
	}
}

// TestNothingLooksClean has parts about which nobody can say anything.
func TestNothingLooksClean(t *testing.T) {
	f := records(t, "a", npm("CVE-1", "p", "", ""), debian("CVE-2", "12", "1.0"))
	uses := []Use{use("PyPI", "p", "1.0"), use("npm", "p", "latest"), use("npm", "p", ""), {Part: Part{Name: "x"}, Unknown: "nobody knows"}}
	newer := use("Debian", "zlib", "1.0")
	newer.Part.Release = "13"
	r := match(t, append(uses, newer), f)
	if r.Parts != 5 || r.Covered != 0 || len(r.Uncovered) != 5 || len(r.Findings) != 0 {
		t.Errorf("%+v", r)
	}
	for _, u := range r.Uncovered {
		if u.Why == "" {
			t.Errorf("%+v", u)
		}
	}
}

// TestUsesOnce has two Debian packages of one source in one package.
func TestUsesOnce(t *testing.T) {
	u := use("npm", "p", "1.0.0", Step{Name: "base"})
	r := match(t, []Use{u, u, use("npm", "p", "1.0.0", Step{Name: "other"})}, records(t, "a", npm("CVE-1", "p", "", "")))
	if len(r.Findings) != 1 || len(r.Findings[0].Uses) != 2 {
		t.Errorf("%+v", r.Findings)
	}
}

// TestReleases has records of several releases of Debian.
func TestReleases(t *testing.T) {
	both := records(t, "a",
		`{"id":"CVE-1","affected":[{"package":{"ecosystem":"Debian:12","name":"zlib"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1:1.2.13.dfsg-1"}]}]},
		{"package":{"ecosystem":"Debian:13","name":"zlib"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1:1.3.1-1"}]}]}]}`)
	for release, want := range map[string][2]int{"12": {0, 0}, "13": {1, 0}, "": {0, 1}} {
		u := use("Debian", "zlib", "1:1.2.13.dfsg-1")
		u.Part.Release = release
		r := match(t, []Use{u}, both)
		if len(r.Findings) != want[0] || len(r.Doubts) != want[1] {
			t.Errorf("release %q: %d findings, %d doubts, want %v", release, len(r.Findings), len(r.Doubts), want)
		}
	}
	old := use("Debian", "zlib", "1:1.0-1") // affected in each release: that is no doubt
	if r := match(t, []Use{old}, both); len(r.Findings) != 1 {
		t.Errorf("%+v", r)
	}
}

// TestAliases has records whose aliases try to reach what they are not about.
func TestAliases(t *testing.T) {
	ring := make([]string, 0, 50)
	for i := range 50 {
		ring = append(ring, npm(fmt.Sprintf("A-%02d", i), "p", "", fmt.Sprintf(`"aliases":["A-%02d"],`, (i+1)%50)))
	}
	r := match(t, []Use{use("npm", "p", "1.0.0")}, records(t, "a", ring...))
	if len(r.Findings) != 1 || len(r.Findings[0].IDs) != 50 {
		t.Errorf("a ring: %v", ids(r.Findings))
	}
	// A record with two aliases joins two vulnerabilities: to ignore one of them hides neither the other nor the record that joins them.
	lie := records(t, "a", npm("CVE-1", "p", "", ""), npm("CVE-2", "p", "", ""), npm("Z-1", "p", "", `"aliases":["CVE-1","CVE-2"],`))
	r = match(t, []Use{use("npm", "p", "1.0.0")}, lie)
	ignore := Ignore{ID: "CVE-1", IDs: []string{"CVE-1"}, Why: "x", Until: UntilFixed}
	if err := r.Clear(nil, []Ignore{ignore}, now); err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) != 1 || len(r.Cleared) != 0 {
		t.Errorf("%v is left, %d cleared", ids(r.Findings), len(r.Cleared))
	}
	// related and upstream are no aliases.
	r = match(t, []Use{use("npm", "p", "1.0.0")}, records(t, "a", npm("CVE-1", "p", "", ""), npm("CVE-9", "p", "", `"related":["CVE-1"],"upstream":["CVE-1"],`)))
	if len(r.Findings) != 2 {
		t.Errorf("%v", ids(r.Findings))
	}
	// Both ways: an ignore of the alias clears the record, and the other way round.
	for _, id := range []string{"CVE-5", "GHSA-5"} {
		r = match(t, []Use{use("npm", "p", "1.0.0")}, records(t, "a", npm("GHSA-5", "p", "", `"aliases":["CVE-5"],`)))
		if err := r.Clear(nil, []Ignore{{ID: id, IDs: []string{id}, Why: "x", Until: UntilFixed}}, now); err != nil || len(r.Cleared) != 1 || len(r.Unused) != 0 {
			t.Errorf("%s: %+v, %v", id, r, err)
		}
	}
}

// TestIgnores ends ignores by a fix, a version and a date.
func TestIgnores(t *testing.T) {
	f := records(t, "a", npm("CVE-1", "p", "", ""), npm("CVE-2", "q", "1.5.0", ""))
	for name, c := range map[string]struct {
		ignore  Ignore
		cleared int
	}{
		"until fixed, no fix":         {Ignore{ID: "CVE-1", Until: UntilFixed}, 1},
		"until fixed, a fix is known": {Ignore{ID: "CVE-2", Until: UntilFixed}, 0},
		"until another version":       {Ignore{ID: "CVE-2", Until: UntilVersion, Versions: []string{"1.0.0"}}, 1},
		"of another version":          {Ignore{ID: "CVE-2", Until: UntilVersion, Versions: []string{"0.9.0"}}, 0},
		"until a day":                 {Ignore{ID: "CVE-2", Until: now.AddDate(0, 0, 1).Format(time.DateOnly)}, 1},
		"until today":                 {Ignore{ID: "CVE-2", Until: now.Format(time.DateOnly)}, 0},
		"of another part":             {Ignore{ID: "CVE-2", Part: "p", Until: UntilVersion, Versions: []string{"1.0.0"}}, 0},
	} {
		r := match(t, []Use{use("npm", "p", "1.0.0"), use("npm", "q", "1.0.0")}, f)
		c.ignore.IDs, c.ignore.Why = []string{c.ignore.ID}, "a reason"
		if err := c.ignore.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := r.Clear(nil, []Ignore{c.ignore}, now); err != nil || len(r.Cleared) != c.cleared {
			t.Errorf("%s: %d cleared, want %d (%v)", name, len(r.Cleared), c.cleared, err)
		}
	}
	for name, g := range map[string]Ignore{
		"wildcard":       {ID: "*", IDs: []string{"*"}, Why: "x", Until: UntilFixed},
		"wildcard alias": {ID: "CVE-1", IDs: []string{"*", "CVE-1"}, Why: "x", Until: UntilFixed},
		"any part":       {ID: "CVE-1", IDs: []string{"CVE-1"}, Part: "*", Why: "x", Until: UntilFixed},
		"no reason":      {ID: "CVE-1", IDs: []string{"CVE-1"}, Until: UntilFixed},
		"no end":         {ID: "CVE-1", IDs: []string{"CVE-1"}, Why: "x"},
		"for ever":       {ID: "CVE-1", IDs: []string{"CVE-1"}, Why: "x", Until: "never"},
	} {
		if g.Check() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	list := []Ignore{{ID: "CVE-1", IDs: []string{"CVE-1", "GHSA-1"}, Part: "p", Versions: []string{"1.0"}, Why: "x", Until: UntilVersion, Snooze: true, Made: now}}
	text, err := EncodeIgnores(list)
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeIgnores(text)
	if diff := cmp.Diff(list, back); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if _, err := DecodeIgnores([]byte(strings.Replace(string(text), `"part":"p"`, `"part":"*"`, 1))); err == nil {
		t.Error("a file with a wildcard is read")
	}
}

// TestStatements lets packagers clear findings of their own packages, and of nothing else.
func TestStatements(t *testing.T) {
	id, other := pir.Sum([]byte("zlib")), pir.Sum([]byte("another"))
	record := npm("CVE-2023-45853", "zlib", "", `"aliases":["GHSA-z"],`)
	no := map[string]bool{"minizip": false}
	stated := func(s feed.Statement) feed.Statement {
		s.ID, s.Package = "CVE-2023-45853", "zlib"
		if s.Status == "" {
			s.Status, s.Why = feed.NotAffected, "component_not_present"
		}
		return s
	}
	zlib := Step{PID: id, Name: "zlib", Version: "1.2.13", Set: "theirs", Known: true}
	with := zlib
	with.Flags = map[string]bool{"minizip": true}
	unknown := zlib
	unknown.Known = false
	foreign := zlib
	foreign.Set = "ours"
	nobody := zlib
	nobody.Set = ""
	for name, c := range map[string]struct {
		say     feed.Statement
		step    Step
		cleared bool
	}{
		"for this version":             {stated(feed.Statement{Versions: []string{"1.2.13"}}), zlib, true},
		"for this PID":                 {stated(feed.Statement{PID: id}), zlib, true},
		"without the flag":             {stated(feed.Statement{Versions: []string{"1.2.13"}, When: no}), zlib, true},
		"with the flag":                {stated(feed.Statement{Versions: []string{"1.2.13"}, When: no}), with, false},
		"flags are not known":          {stated(feed.Statement{Versions: []string{"1.2.13"}, When: no}), unknown, false},
		"for another version":          {stated(feed.Statement{Versions: []string{"1.3"}}), zlib, false},
		"for another PID":              {stated(feed.Statement{PID: other}), zlib, false},
		"about another set":            {stated(feed.Statement{Versions: []string{"1.2.13"}}), foreign, false},
		"about a package of no set":    {stated(feed.Statement{Versions: []string{"1.2.13"}}), nobody, false},
		"which says that it is":        {stated(feed.Statement{Versions: []string{"1.2.13"}, Status: feed.IsAffected}), zlib, false},
		"which says that they look":    {stated(feed.Statement{Versions: []string{"1.2.13"}, Status: feed.Investigating}), zlib, false},
		"which says that a patch does": {stated(feed.Statement{Versions: []string{"1.2.13"}, Status: feed.Fixed}), zlib, true},
	} {
		f := recordsAnd(t, "theirs", []feed.Statement{c.say}, record)
		f.Local, f.Sets = false, map[string]bool{"theirs": true}
		r := match(t, []Use{use("npm", "zlib", "1.2.13", Step{Name: "httpd"}, c.step)}, f)
		if err := r.Clear([]Feed{f}, nil, now); err != nil {
			t.Fatal(err)
		}
		if got := len(r.Cleared) == 1 && len(r.Findings) == 0; got != c.cleared {
			t.Errorf("a statement %s: cleared %t, want %t (%v)", name, got, c.cleared, r.Refused)
		}
		if c.cleared && r.Cleared[0].Who != "feed theirs" {
			t.Errorf("%s: nobody knows who said so: %+v", name, r.Cleared[0])
		}
		if !c.cleared && c.say.Clears() && len(r.Refused) == 0 {
			t.Errorf("%s: it is not said that the statement does not count", name)
		}
	}
}

// TestPatched clears a finding that a patch of the build fixes, for the package that says so and for no other.
func TestPatched(t *testing.T) {
	f := records(t, "a", npm("GHSA-z", "zlib", "", `"aliases":["CVE-2023-45853"],`))
	patched := Step{PID: pir.Sum([]byte("a")), Name: "zlib", Fixes: []string{"CVE-2023-45853"}}
	plain := Step{PID: pir.Sum([]byte("b")), Name: "zlib"}
	user := Step{Name: "httpd", Fixes: []string{"CVE-2023-45853"}} // it does not build zlib
	r := match(t, []Use{use("npm", "zlib", "1.0.0", patched), use("npm", "zlib", "1.0.0", plain), use("npm", "zlib", "1.0.0", user, plain)}, f)
	if err := r.Clear([]Feed{f}, nil, now); err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) != 1 || len(r.Findings[0].Uses) != 2 || len(r.Cleared) != 1 || r.Cleared[0].By != "package" || len(r.Cleared[0].Uses) != 1 {
		t.Errorf("%+v", r)
	}
}

// TestNews tells each change once.
func TestNews(t *testing.T) {
	picture := func(texts ...string) *Picture {
		r := match(t, []Use{use("npm", "p", "1.0.0", Step{Name: "httpd"}), use("npm", "q", "1.0.0", Step{Name: "tool"})}, records(t, "a", texts...))
		p := PictureOf(r)
		return &p
	}
	one, two := npm("CVE-1", "p", "", ""), npm("CVE-2", "q", "", "")
	exploited := npm("CVE-2", "q", "", `"database_specific":{"exploited":true},`)
	gone := npm("CVE-2", "q", "", `"withdrawn":"2026-01-01T00:00:00Z",`)
	for _, c := range []struct {
		name, line string
		old, is    *Picture
	}{
		{"first", "1 package has a known vulnerability: nuka audit", &Picture{}, picture(one)},
		{"the same again", "", picture(one), picture(one)},
		{"one more", "2 packages have known vulnerabilities: nuka audit", picture(one), picture(one, two)},
		{"now exploited", "2 packages have known vulnerabilities (1 exploited): nuka audit", picture(one, two), picture(one, exploited)},
		{"withdrawn", "CVE-2 withdrawn: no longer counted", picture(one, two), picture(one, gone)},
		{"gone by the user's own doing", "", picture(one, two), picture(one)},
	} {
		n := c.is.Since(c.old)
		if got := c.is.Line(&n, c.old); got != c.line || n.Any() != (c.line != "") {
			t.Errorf("%s: got %q, want %q", c.name, got, c.line)
		}
	}
	stated := *picture(one)
	stated.Stated = map[string]string{"npm q 1.0.0 CVE-2": "feed theirs"}
	n := stated.Since(picture(one, two))
	if got := stated.Line(&n, picture(one, two)); !strings.Contains(got, "CVE-2 no longer counted: a packager says") {
		t.Errorf("a change in what is cleared: %q", got)
	}
}

// TestMany has 100,000 findings on one machine: one line.
func TestMany(t *testing.T) {
	r := &Report{}
	for i := range 100_000 {
		r.Findings = append(r.Findings, Finding{ID: fmt.Sprint("CVE-", i), Part: Part{Name: "p"}})
	}
	p := PictureOf(r)
	n := p.Since(&Picture{})
	if line := p.Line(&n, &Picture{}); len(line) > 100 || strings.Contains(line, "\n") {
		t.Errorf("%.200q", line)
	}
}

// TestRecordedNotices has parts whose recordings say that nobody should use them. A feed that says the same is named in its place.
func TestRecordedNotices(t *testing.T) {
	noted := func(name string, n osv.Notice, says string) Use {
		u := use("npm", name, "1.0.0")
		u.Notice, u.Says = n, says
		return u
	}
	f := records(t, "mine", npm("N-1", "b", "", `"database_specific":{"notice":"deprecated"},`), npm("V-1", "c", "", ""))
	r := match(t, []Use{noted("@s/a", osv.Deprecated, "use two"), noted("b", osv.Deprecated, "use three"), noted("c", osv.Yanked, ""), use("npm", "d", "1.0.0")}, f)
	if diff := cmp.Diff([]string{"DEPRECATED-npm-s-a-1.0.0", "N-1", "YANKED-npm-c-1.0.0"}, ids(r.Notices)); diff != "" {
		t.Errorf("notices (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"V-1"}, ids(r.Findings)); diff != "" {
		t.Errorf("findings (-want +got)\n%s", diff)
	}
	if a := r.Notices[0]; a.Summary != "use two" || a.Notice != osv.Deprecated || !slices.Equal(a.Feeds, []string{Recorded}) || !osv.IsID(a.ID) {
		t.Errorf("got %+v", a)
	}
	ignored := Ignore{ID: r.Notices[0].ID, IDs: r.Notices[0].IDs, Why: "x", Until: "2099-01-01"}
	if err := r.Clear([]Feed{f}, []Ignore{ignored}, now); err != nil || len(r.Notices) != 2 || len(r.Cleared) != 1 {
		t.Errorf("%v, notices %v, cleared %d", err, ids(r.Notices), len(r.Cleared))
	}
}
