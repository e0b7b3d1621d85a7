package advisory

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/MordragT/nuka/advisory/feed"
	"github.com/MordragT/nuka/advisory/osv"
	"github.com/MordragT/nuka/advisory/version"
	"github.com/MordragT/nuka/internal/lazyregexp"
)

// A Feed is a feed with its tree, as Match reads it.
type Feed struct {
	Name string
	Tree *feed.Tree
	// Sets are the package sets that the feed may make statements about: those that its keys sign. A local feed is the user's own, and may speak about all.
	Sets  map[string]bool
	Local bool
}

// Match compares uses with feeds. It applies no ignore and no statement: Clear does.
func Match(uses []Use, feeds []Feed) (*Report, error) {
	r := &Report{}
	by := map[Part][]Use{}
	for _, u := range uses {
		by[u.Part] = append(by[u.Part], u)
	}
	parts := slices.SortedFunc(maps.Keys(by), compareParts)
	r.Parts = len(parts)
	var known []Part
	for _, p := range parts {
		slices.SortFunc(by[p], compareUses)
		by[p] = slices.CompactFunc(by[p], func(a, b Use) bool { return compareUses(a, b) == 0 && a.Tool == b.Tool }) // several Debian packages of one source
		why, readable := uncovered(p, by[p], feeds)
		if why != "" {
			r.Uncovered = append(r.Uncovered, Uncovered{p, why, by[p]})
		} else {
			r.Covered++
		}
		if readable { // what no feed covers may have notices
			known = append(known, p)
		}
	}
	var keys []feed.Key
	for _, p := range known {
		keys = append(keys, feed.Key{Ecosystem: p.Ecosystem, Name: p.Name})
	}
	slices.SortFunc(keys, func(a, b feed.Key) int {
		return cmp.Or(strings.Compare(a.Ecosystem, b.Ecosystem), strings.Compare(a.Name, b.Name))
	})
	keys = slices.Compact(keys)
	found := make([]map[feed.Key][]osv.Entry, len(feeds))
	for i, f := range feeds {
		var err error
		if found[i], err = f.Tree.Lookup(keys); err != nil {
			return nil, err
		}
	}
	for _, p := range known {
		m := &matcher{report: r, part: p, uses: by[p]}
		for i, f := range feeds {
			m.feed(f.Name, found[i][feed.Key{Ecosystem: p.Ecosystem, Name: p.Name}])
		}
		m.recorded()
		m.finish()
	}
	slices.Sort(r.Withdrawn)
	r.Withdrawn = slices.Compact(r.Withdrawn)
	r.sort()
	return r, nil
}

// uncovered says why no feed can say anything about vulnerabilities of a part, and "" if one can; and whether its version can be read.
func uncovered(p Part, uses []Use, feeds []Feed) (why string, readable bool) {
	if uses[0].Unknown != "" {
		return uses[0].Unknown, false
	}
	order, ok := version.Of(p.Ecosystem)
	switch {
	case p.Version == "":
		return "its version is not known", false
	case ok && !order.Valid(p.Version):
		return fmt.Sprintf("%.80q is no version of %s", p.Version, p.Ecosystem), false
	}
	for _, f := range feeds {
		for ecosystem := range f.Tree.Records {
			base, release, _ := strings.Cut(ecosystem, ":")
			if base == p.Ecosystem && (release == "" || p.Release == "" || release == p.Release) {
				return "", true
			}
		}
	}
	if p.Release != "" {
		return fmt.Sprintf("no feed has records of %s:%s", p.Ecosystem, p.Release), true
	}
	return "no feed has records of " + p.Ecosystem, true
}

// Recorded is the feed of notices that are in recordings.
const Recorded = "recording"

// recorded adds the notice of recordings, unless a feed has one of the same class.
func (m *matcher) recorded() {
	for _, u := range m.uses {
		if u.Notice == "" || slices.ContainsFunc(m.hits, func(h hit) bool { return h.source.Entry.Notice == u.Notice }) {
			continue
		}
		id := unidentifying().ReplaceAllString(strings.ToUpper(string(u.Notice))+"-"+m.part.Ecosystem+"-"+m.part.Name+"-"+m.part.Version, "-")
		m.hits = append(m.hits, hit{source: Source{Recorded, osv.Entry{ID: id[:min(len(id), maxNoticeID)], Notice: u.Notice, Summary: u.Says}}})
	}
}

const maxNoticeID = 120

// IsRecorded reports whether an identifier is one of those that notices of recordings have: no feed has a record of it.
func IsRecorded(id string) bool {
	return slices.ContainsFunc(osv.Notices(), func(n osv.Notice) bool { return strings.HasPrefix(id, strings.ToUpper(string(n))+"-") })
}

// unidentifying matches what no identifier of a record has.
var unidentifying = lazyregexp.New(`-?[^A-Za-z0-9._:-]+`)

// A matcher collects what feeds say of one part.
type matcher struct {
	report *Report
	part   Part
	uses   []Use
	hits   []hit
	denied map[string][]string // feeds that say that a record does not affect the part, by its identifier
}

type hit struct {
	source Source
	fixed  string
}

// feed evaluates the entries of one feed. Several entries of one record are several repositories or releases of the package.
func (m *matcher) feed(name string, entries []osv.Entry) {
	byID := map[string][]osv.Entry{}
	var ids []string
	for _, e := range entries {
		_, release, _ := strings.Cut(e.Ecosystem, ":")
		if release != "" && m.part.Release != "" && release != m.part.Release {
			continue
		}
		if byID[e.ID] == nil {
			ids = append(ids, e.ID)
		}
		byID[e.ID] = append(byID[e.ID], e)
	}
	for _, id := range ids {
		m.record(name, byID[id])
	}
}

func (m *matcher) record(name string, entries []osv.Entry) {
	var worst *hit
	doubt, clean, releases := "", 0, map[string]bool{}
	for i := range entries {
		e := &entries[i]
		if e.Withdrawn != "" {
			if e.Evaluate(m.part.Version).Verdict == osv.IsAffected {
				m.report.Withdrawn = append(m.report.Withdrawn, e.ID)
			}
			return
		}
		releases[e.Ecosystem] = true
		switch got := e.Evaluate(m.part.Version); got.Verdict {
		case osv.IsAffected:
			if worst == nil || got.Fixed == "" {
				worst = &hit{Source{name, *e}, got.Fixed}
			}
		case osv.Unknown:
			doubt = got.Why
		case osv.NotAffected:
			clean++
		}
	}
	switch {
	case worst != nil && m.part.Release == "" && len(releases) > 1 && clean > 0:
		doubt = "it depends on the release of " + m.part.Ecosystem + ", which is not known"
	case worst != nil:
		m.hits = append(m.hits, *worst)
		return
	}
	id := entries[0].ID
	if doubt != "" {
		m.report.Doubts = append(m.report.Doubts, Doubt{id, m.part, name, doubt, m.uses})
		return
	}
	if m.denied == nil {
		m.denied = map[string][]string{}
	}
	m.denied[id] = append(m.denied[id], name)
}

// finish makes findings of the hits: those that are one vulnerability, by their aliases, are one finding.
func (m *matcher) finish() {
	for _, group := range groups(m.hits) {
		f := Finding{Part: m.part, Uses: m.uses, State: NoFix}
		fixable, notices := true, []osv.Notice{}
		order, ordered := version.Of(m.part.Ecosystem)
		for _, h := range group {
			e := &h.source.Entry
			f.records = append(f.records, h.source)
			f.IDs = append(f.IDs, e.IDs()...)
			f.Feeds = append(f.Feeds, h.source.Feed)
			f.Denied = append(f.Denied, m.denied[e.ID]...)
			if e.Level > f.Level {
				f.Level = e.Level
			}
			f.Exploited = f.Exploited || e.Exploited
			f.EPSS = max(f.EPSS, e.EPSS)
			notices = append(notices, e.Notice)
			f.Summary, f.URL = cmp.Or(f.Summary, e.Summary), cmp.Or(f.URL, e.URL)
			if h.fixed == "" {
				fixable = false
			} else if f.Fixed == "" || ordered && order.Compare(h.fixed, f.Fixed) > 0 {
				f.Fixed = h.fixed
			}
		}
		if !fixable { // one of several records knows of no fix: the worst counts
			f.Fixed = ""
		}
		if f.Fixed != "" {
			f.State = Upstream
		}
		slices.Sort(f.IDs)
		f.IDs = slices.Compact(f.IDs)
		slices.Sort(f.Feeds)
		f.Feeds = slices.Compact(f.Feeds)
		slices.Sort(f.Denied)
		f.Denied = slices.Compact(f.Denied)
		f.ID, f.LevelName = primary(f.IDs, f.records), f.Level.String()
		if !slices.Contains(notices, "") { // one record of a vulnerability makes it one
			f.Notice = worstNotice(notices)
			m.report.Notices = append(m.report.Notices, f)
			continue
		}
		m.report.Findings = append(m.report.Findings, f)
	}
}

func worstNotice(list []osv.Notice) osv.Notice {
	for _, n := range osv.Notices() {
		if slices.Contains(list, n) {
			return n
		}
	}
	return list[0]
}

// primary returns the identifier under which people know a vulnerability best.
func primary(ids []string, records []Source) string {
	for _, id := range ids {
		if strings.HasPrefix(id, "CVE-") {
			return id
		}
	}
	first := records[0].Entry.ID
	for _, r := range records {
		first = min(first, r.Entry.ID)
	}
	return first
}

// groups joins hits that share an identifier or alias. Only records that affect the same part are joined, so an alias cannot reach what is elsewhere.
func groups(hits []hit) [][]hit {
	owner := map[string]int{} // by identifier, the number of a group
	into := make([]int, 0, len(hits))
	find := func(n int) int {
		for into[n] != n {
			into[n] = into[into[n]]
			n = into[n]
		}
		return n
	}
	for i, h := range hits {
		into = append(into, i)
		for _, id := range h.source.Entry.IDs() {
			if n, there := owner[id]; there {
				into[find(i)] = find(n)
			} else {
				owner[id] = i
			}
		}
	}
	at := map[int]int{}
	var out [][]hit
	for i, h := range hits {
		n := find(i)
		k, there := at[n]
		if !there {
			k = len(out)
			at[n] = k
			out = append(out, nil)
		}
		out[k] = append(out[k], h)
	}
	return out
}

func (r *Report) sort() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return compareFindings(&a, &b) })
	slices.SortStableFunc(r.Notices, func(a, b Finding) int {
		return cmp.Or(strings.Compare(string(a.Notice), string(b.Notice)), compareFindings(&a, &b))
	})
	slices.SortStableFunc(r.Cleared, func(a, b Cleared) int {
		return cmp.Or(compareFindings(&a.Finding, &b.Finding), strings.Compare(a.By, b.By), strings.Compare(a.Who, b.Who))
	})
	slices.SortStableFunc(r.Doubts, func(a, b Doubt) int {
		return cmp.Or(compareParts(a.Part, b.Part), strings.Compare(a.ID, b.ID), strings.Compare(a.Feed, b.Feed))
	})
}

// compareFindings orders findings: exploited ones first, then by level, then by part and identifier.
func compareFindings(a, b *Finding) int {
	if a.Exploited != b.Exploited {
		if a.Exploited {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(b.Level.Rank(), a.Level.Rank()), cmp.Compare(b.Level, a.Level), compareParts(a.Part, b.Part), strings.Compare(a.ID, b.ID))
}
