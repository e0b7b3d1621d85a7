package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/advisory"
	"github.com/MordragT/nuka/advisory/feed"
)

// This file shows the result of an audit.

const (
	// shownFindings bounds the findings that a terminal gets; --json has all.
	shownFindings = 200
	shownPaths    = 3
)

// auditSchema is the version of the JSON form.
const auditSchema = 1

// An auditedFeed is what is known of a feed, for --json.
type auditedFeed struct {
	Name    string        `json:"name"`
	From    string        `json:"from,omitempty"`
	Number  int64         `json:"number,omitempty"`
	Age     feed.Age      `json:"age"`
	Issued  time.Time     `json:"issued,omitzero"`
	Expires time.Time     `json:"expires,omitzero"`
	Broken  []feed.Broken `json:"broken"`
}

// An auditResult is what audit --json writes.
type auditResult struct {
	Schema    int                  `json:"schema"`
	Findings  []advisory.Finding   `json:"findings"`
	Notices   []advisory.Finding   `json:"notices"`
	Cleared   []advisory.Cleared   `json:"cleared"`
	Doubts    []advisory.Doubt     `json:"not_evaluated"`
	Uncovered []advisory.Uncovered `json:"not_covered"`
	Parts     int                  `json:"parts"`
	Covered   int                  `json:"covered"`
	Tools     int                  `json:"findings_in_tools"`
	Withdrawn []string             `json:"withdrawn"`
	Missing   []string             `json:"missing"`
	Refused   []string             `json:"refused_statements"`
	Feeds     []auditedFeed        `json:"feeds"`
	CannotSay string               `json:"cannot_say,omitempty"`
}

func auditJSON(r *audited) *auditResult {
	list := func(s []string) []string { return append([]string{}, s...) }
	out := &auditResult{
		Schema: auditSchema, Findings: append([]advisory.Finding{}, r.report.Findings...), Notices: append([]advisory.Finding{}, r.report.Notices...), Cleared: append([]advisory.Cleared{}, r.report.Cleared...),
		Doubts: append([]advisory.Doubt{}, r.report.Doubts...), Uncovered: append([]advisory.Uncovered{}, r.report.Uncovered...), Parts: r.report.Parts,
		Covered: r.report.Covered, Tools: r.tools, Withdrawn: list(r.report.Withdrawn), Missing: list(r.missing), Refused: list(r.report.Refused), Feeds: []auditedFeed{},
		CannotSay: r.cannotSay(false),
	}
	for i := range r.feeds {
		f := &r.feeds[i]
		out.Feeds = append(out.Feeds, auditedFeed{f.Name, f.From, f.Number, f.Age(r.now), f.Issued, f.Expires, append([]feed.Broken{}, r.broken[f.Name]...)})
	}
	return out
}

// printAudit prints findings to the standard output, and everything about the audit itself to the standard error.
func (a *app) printAudit(r *audited, o *auditOptions) {
	for i := range r.report.Findings {
		if i == shownFindings && !o.all {
			a.say("%d more findings: --all or --json lists them", len(r.report.Findings)-i)
			break
		}
		a.printFinding(r, &r.report.Findings[i])
	}
	if o.notices {
		a.printNotices(r)
	}
	if o.all {
		a.printRest(r)
	}
	for _, why := range r.missing {
		a.say("the list of parts is not whole: %s", why)
	}
	for name, list := range r.broken {
		if len(list) > 0 {
			a.say("feed %s: %s could not be read, or not wholly: %s: %s", name, counted(len(list), "record"), list[0].ID, list[0].Why)
		}
	}
	for i := range r.feeds {
		a.say("%s", feedAge(&r.feeds[i], r.now))
	}
	a.say("%s", r.summary(o))
	if why := r.cannotSay(o.strict); why != "" {
		a.say("this is not the whole truth: %s", why)
	}
}

// summary says what was looked at. Parts that nothing is known about are always named, so that they do not look clean.
func (r *audited) summary(o *auditOptions) string {
	text := fmt.Sprintf("%d of %d parts are covered", r.report.Covered, r.report.Parts)
	if n := len(r.report.Uncovered); n > 0 {
		text += fmt.Sprintf(", %d not (--all lists them)", n)
	}
	text += "; " + counted(len(r.report.Findings), "finding")
	if n := len(r.report.Cleared); n > 0 {
		text += fmt.Sprintf("; not affected: %d, by %s", n, strings.Join(clearers(r.report.Cleared), ", "))
	}
	if n := len(r.report.Doubts); n > 0 {
		text += fmt.Sprintf("; not evaluated: %d", n)
	}
	if n := len(r.report.Notices); n > 0 && !o.notices {
		text += fmt.Sprintf("; yanked, deprecated or unsupported: %d (--notices)", n)
	}
	if r.tools > 0 {
		text += fmt.Sprintf("; in tools of builds: %d (--tools)", r.tools)
	}
	return text
}

func clearers(list []advisory.Cleared) []string {
	var who []string
	for i := range list {
		who = append(who, list[i].Who)
	}
	slices.Sort(who)
	return slices.Compact(who)
}

// printNotices prints the releases that are in use and that somebody advises against. They are no vulnerabilities.
func (a *app) printNotices(r *audited) {
	for i := range r.report.Notices {
		f := &r.report.Notices[i]
		fmt.Fprintln(a.out, printable(strings.TrimRight(fmt.Sprintf("%-11s %s  %s  %s", f.Notice, f.Part, f.ID, f.Summary), " ")))
		for j := range f.Uses[:min(len(f.Uses), shownPaths)] {
			fmt.Fprintln(a.out, "            "+printable(useText(&f.Uses[j], f.Part)))
		}
	}
}

// printFinding prints a finding in two or more lines: what it is, and how it got here.
func (a *app) printFinding(r *audited, f *advisory.Finding) {
	level := f.LevelName
	if f.Exploited {
		level = "exploited"
	}
	line := fmt.Sprintf("%-10s %s  %s  %s", level, f.Part, f.ID, stateText(f))
	if f.EPSS > 0 {
		line += fmt.Sprintf("  EPSS %.1f %%", 100*f.EPSS)
	}
	if more := slices.DeleteFunc(slices.Clone(f.IDs), func(id string) bool { return id == f.ID }); len(more) > 0 {
		line += "  [" + shortList(more, 4) + "]"
	}
	fmt.Fprintln(a.out, printable(line))
	if f.Summary != "" {
		fmt.Fprintln(a.out, "           "+printable(f.Summary))
	}
	if len(f.Denied) > 0 {
		fmt.Fprintf(a.out, "           %s says so, and %s says that it is not affected\n", strings.Join(f.Feeds, ", "), strings.Join(f.Denied, ", "))
	}
	for i := range f.Uses {
		if i == shownPaths {
			fmt.Fprintf(a.out, "           and %s more\n", counted(len(f.Uses)-i, "way"))
			break
		}
		fmt.Fprintln(a.out, "           "+printable(useText(&f.Uses[i], f.Part)))
	}
	if f.State == advisory.Available {
		if names := r.upgrades(f); len(names) > 0 {
			fmt.Fprintf(a.out, "           → nuka upgrade --security %s\n", printable(strings.Join(names, " ")))
		}
	}
}

func stateText(f *advisory.Finding) string {
	switch {
	case f.State == advisory.Available && f.Fixed != "":
		return "fixed in " + f.Fixed + ", and in the package set"
	case f.State == advisory.Available:
		return "fixed in the package set"
	case f.State == advisory.Upstream:
		return "fixed in " + f.Fixed + ", not in the package set"
	}
	return "no fix is known"
}

// useText returns the way from a root to a part.
func useText(u *advisory.Use, p advisory.Part) string {
	words := []string{strings.TrimPrefix(u.Root, "profile/")}
	for _, s := range u.Path {
		words = append(words, strings.TrimSpace(s.Name+" "+s.Version))
	}
	text := strings.Join(append(words, p.String()), " → ")
	if u.Tool {
		text += " (tool of the build)"
	}
	if u.Note != "" {
		text += " (" + u.Note + ")"
	}
	return text
}

// printRest prints what --all adds.
func (a *app) printRest(r *audited) {
	line := func(what, text string) { fmt.Fprintln(a.out, printable(fmt.Sprintf("%-10s %s", what, text))) }
	for i := range r.report.Cleared {
		c := &r.report.Cleared[i]
		line("cleared", fmt.Sprintf("%s  %s: %s, says %s", c.Part, c.ID, c.Says, c.Who))
		for j := range c.Uses[:min(len(c.Uses), shownPaths)] {
			fmt.Fprintln(a.out, "           "+printable(useText(&c.Uses[j], c.Part)))
		}
	}
	for _, id := range r.report.Withdrawn {
		line("withdrawn", id+" does not count any more")
	}
	for _, d := range r.report.Doubts {
		line("unknown", fmt.Sprintf("%s  %s: not evaluated: %s (feed %s)", d.Part, d.ID, d.Why, d.Feed))
	}
	for _, u := range r.report.Uncovered {
		line("uncovered", fmt.Sprintf("%s: %s", u.Part, u.Why))
	}
	for _, why := range r.report.Refused {
		line("refused", why)
	}
	for _, g := range r.report.Unused {
		line("unused", fmt.Sprintf("you ignore %s (%s), and nothing has it", g.ID, g.Why))
	}
}

// feedAge says how old a feed is.
func feedAge(f *feed.Feed, now time.Time) string {
	text := "feed " + f.Name
	if f.Number > 0 {
		text += fmt.Sprintf(", number %d", f.Number)
	}
	when := f.Issued
	if f.Local {
		when = f.Updated
	}
	old := age(now.Sub(when))
	switch f.Age(now) {
	case feed.Fresh:
		if f.Local {
			return fmt.Sprintf("%s: read %s ago from %s", text, old, f.From)
		}
		return fmt.Sprintf("%s: %s old, good until %s", text, old, f.Expires.Format(time.DateOnly))
	case feed.Stale:
		return fmt.Sprintf("%s: STALE: %s old; nobody can tell what became known since: nuka advisories update", text, old)
	case feed.Early:
		return fmt.Sprintf("%s: issued %s, and the clock of this machine is before that", text, f.Issued.Format(time.DateOnly))
	case feed.Revoked:
		return text + ": REVOKED: too few of its keys are left; ask its publisher for the new key"
	case feed.Absent:
	}
	return text + ": it has no records yet: nuka advisories update"
}

// age returns a length of time in one unit.
func age(d time.Duration) string {
	switch {
	case d < 0:
		return "0 minutes"
	case d < 2*time.Hour:
		return counted(int(d.Minutes()), "minute")
	case d < 48*time.Hour:
		return counted(int(d.Hours()), "hour")
	}
	return counted(int(d.Hours()/24), "day")
}
