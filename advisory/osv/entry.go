package osv

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/MordragT/nuka/advisory/version"
	"github.com/MordragT/nuka/source/pyversion"
)

// An Entry is what a record says about one package of one ecosystem. A record of several packages is several entries.
type Entry struct {
	ID        string   `json:"id"`
	Aliases   []string `json:"aliases,omitempty"`
	Modified  string   `json:"modified,omitempty"`
	Withdrawn string   `json:"withdrawn,omitempty"`
	Summary   string   `json:"summary,omitempty"`
	Level     Level    `json:"level,omitempty"`
	Score     string   `json:"score,omitempty"`
	Exploited bool     `json:"exploited,omitempty"`
	EPSS      float64  `json:"epss,omitempty"`
	Notice    Notice   `json:"notice,omitempty"`
	URL       string   `json:"url,omitempty"`
	Ecosystem string   `json:"ecosystem"` // with its release
	Name      string   `json:"name"`      // in the spelling of Name
	Versions  []string `json:"versions,omitempty"`
	Ranges    []Range  `json:"ranges,omitempty"`
	Fault     string   `json:"fault,omitempty"`
}

// Name returns the one spelling of a package's name in its ecosystem.
func Name(ecosystem, name string) string {
	if Base(ecosystem) == "PyPI" {
		return pyversion.Name(name)
	}
	return name
}

// Base returns an ecosystem without its release: Debian of Debian:12.
func Base(ecosystem string) string {
	base, _, _ := strings.Cut(ecosystem, ":")
	return base
}

// Entries returns a record's entries. Packages that it names several times, such as one for each repository, are several entries.
func (r *Record) Entries() []Entry {
	out := make([]Entry, 0, len(r.Affected))
	for i := range r.Affected {
		a := &r.Affected[i]
		e := Entry{
			ID: r.ID, Aliases: r.Aliases, Modified: r.Modified, Withdrawn: r.Withdrawn, Summary: r.Summary, Level: r.Level, Score: r.Score,
			Exploited: r.Exploited, EPSS: r.EPSS, Notice: r.Notice, URL: r.URL, Ecosystem: a.Ecosystem, Name: Name(a.Ecosystem, a.Name), Versions: a.Versions, Ranges: a.Ranges, Fault: a.Fault,
		}
		if usable := slices.ContainsFunc(e.Ranges, func(r Range) bool { return r.Type != "GIT" }); usable || len(e.Versions) > 0 {
			// Commits say the same in another way, and cannot be evaluated without the repository.
			e.Ranges = slices.DeleteFunc(slices.Clone(e.Ranges), func(r Range) bool { return r.Type == "GIT" })
		}
		out = append(out, e)
	}
	return out
}

// IDs returns the identifier of the record and its aliases.
func (e *Entry) IDs() []string { return append([]string{e.ID}, e.Aliases...) }

// Check returns an entry that came from elsewhere with what Parse would have refused as a Fault. An entry that cannot be used at all gives false.
func (e *Entry) Check() bool {
	if !IsID(e.ID) || !ecosystemPattern().MatchString(e.Ecosystem) || e.Name == "" || len(e.Name) > maxName || !isPlain(e.Name) || e.Level < Unrated || e.Level > Critical {
		return false
	}
	if e.Notice != "" && !slices.Contains(Notices(), e.Notice) {
		e.Notice = ""
	}
	if !(e.EPSS >= 0 && e.EPSS <= 1) {
		e.EPSS = 0
	}
	e.Aliases = slices.DeleteFunc(e.Aliases, func(id string) bool { return !IsID(id) })
	e.Aliases = e.Aliases[:min(len(e.Aliases), maxAliases)]
	e.Summary, e.URL, e.Score = plain(e.Summary, maxSummary), plain(e.URL, 500), plain(e.Score, maxVector)
	e.Modified, e.Withdrawn, e.Fault = plain(e.Modified, 40), plain(e.Withdrawn, 40), plain(e.Fault, maxSummary)
	if len(e.Versions) > maxListed {
		e.Fault = "it lists too many versions"
	}
	for _, r := range e.Ranges {
		if err := e.checkRange(r); err != "" && e.Fault == "" {
			e.Fault = err
		}
	}
	return true
}

// checkRange returns what is wrong with a range, in the words of Parse.
func (e *Entry) checkRange(r Range) string {
	raw := make([]map[string]json.RawMessage, 0, len(r.Events))
	for _, event := range r.Events {
		text, err := json.Marshal(event)
		one := map[string]json.RawMessage{}
		if err == nil {
			err = json.Unmarshal(text, &one)
		}
		if err != nil {
			return err.Error()
		}
		raw = append(raw, one)
	}
	events, err := readEvents(raw)
	if err == nil && r.Type != "GIT" {
		err = checkVersions(e.Ecosystem, events)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// A Verdict says whether a version is affected.
type Verdict int

// The verdicts. The zero Verdict claims nothing.
const (
	Unknown Verdict = iota
	NotAffected
	IsAffected
)

// A Finding is a verdict with its reason.
type Finding struct {
	Verdict Verdict
	// Fixed is the lowest version above the affected one that the record calls fixed, "" if there is none.
	Fixed string
	// Why is why a verdict is Unknown.
	Why string
}

// Evaluate says whether an entry affects a version of its package, by the algorithm of the schema of OSV. Of a range without an end, everything after its beginning is affected.
func (e *Entry) Evaluate(v string) Finding {
	unknown := func(why string) Finding { return Finding{Why: why} }
	if e.Fault != "" {
		return unknown("the record is malformed: " + e.Fault)
	}
	order, ordered := version.Of(e.Ecosystem)
	if ordered && !order.Valid(v) {
		return unknown("the version cannot be read")
	}
	listed := slices.ContainsFunc(e.Versions, func(w string) bool {
		return w == v || ordered && order.Valid(w) && order.Compare(w, v) == 0
	})
	out, skipped := Finding{Verdict: NotAffected}, ""
	for i := range e.Ranges {
		r := &e.Ranges[i]
		switch {
		case r.Type == "GIT":
			skipped = "the record names commits of a repository only"
			continue
		case !ordered:
			skipped = "nuka does not order versions of " + Base(e.Ecosystem)
			continue
		}
		in, fixed := r.evaluate(order, v)
		if in && (out.Verdict != IsAffected || fixed == "" || out.Fixed != "" && order.Compare(fixed, out.Fixed) > 0) {
			out = Finding{Verdict: IsAffected, Fixed: fixed} // of several ranges, the fix is the one that leaves all of them
		}
	}
	if out.Verdict == IsAffected {
		return out
	}
	if listed {
		return Finding{Verdict: IsAffected, Fixed: e.nextFixed(order, ordered, v)}
	}
	if skipped != "" {
		return unknown(skipped)
	}
	return out
}

// nextFixed returns the lowest fixed version above v of any range.
func (e *Entry) nextFixed(order version.Order, ordered bool, v string) string {
	fixed := ""
	for i := range e.Ranges {
		if !ordered || e.Ranges[i].Type == "GIT" {
			continue
		}
		for _, event := range e.Ranges[i].Events {
			if f := event.Fixed; f != "" && order.Compare(f, v) > 0 && (fixed == "" || order.Compare(f, fixed) < 0) {
				fixed = f
			}
		}
	}
	return fixed
}

// evaluate says whether a version is in a range, and the first version above it that is fixed. The events need not be sorted.
func (r *Range) evaluate(order version.Order, v string) (in bool, fixed string) {
	limited, below := false, false
	var events []Event
	for _, e := range r.Events {
		if e.Limit != "" {
			limited = true
			below = below || e.Limit == "*" || order.Compare(v, e.Limit) < 0
			continue
		}
		events = append(events, e)
	}
	if limited && !below {
		return false, ""
	}
	slices.SortStableFunc(events, func(a, b Event) int {
		zeroA, zeroB := a.Introduced == "0", b.Introduced == "0"
		switch {
		case zeroA && zeroB:
			return 0
		case zeroA:
			return -1
		case zeroB:
			return 1
		}
		if n := order.Compare(a.version(), b.version()); n != 0 {
			return n
		}
		return kindOf(&a) - kindOf(&b)
	})
	for _, e := range events {
		switch {
		case e.Introduced != "":
			if e.Introduced == "0" || order.Compare(v, e.Introduced) >= 0 {
				in = true
			}
		case e.Fixed != "":
			if order.Compare(v, e.Fixed) >= 0 {
				in = false
			} else if fixed == "" {
				fixed = e.Fixed
			}
		case e.LastAffected != "":
			if order.Compare(v, e.LastAffected) > 0 {
				in = false
			}
		}
	}
	return in, fixed
}

// kindOf orders events of one version: what ends a range is before what begins one, so that a contradiction is affected.
func kindOf(e *Event) int {
	switch {
	case e.Introduced != "":
		return 1
	case e.LastAffected != "":
		return 2
	}
	return 0
}
