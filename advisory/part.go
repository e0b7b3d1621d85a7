package advisory

import (
	"cmp"
	"slices"
	"strings"

	"github.com/MordragT/nuka/advisory/osv"
	"github.com/MordragT/nuka/pir"
)

// A Part is something that somebody published.
type Part struct {
	Ecosystem string `json:"ecosystem"` // as OSV names it, without a release: Go, npm, PyPI, Debian, …
	// Release is that of Debian, such as 13; "" if it is unknown or there is none.
	Release string `json:"release,omitempty"`
	Name    string `json:"name"` // in its one spelling; of Debian, that of the source package
	Version string `json:"version"`
}

func (p Part) String() string { return strings.TrimSpace(p.Name + " " + p.Version) }

func compareParts(a, b Part) int {
	return cmp.Or(strings.Compare(a.Ecosystem, b.Ecosystem), strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version), strings.Compare(a.Release, b.Release))
}

// A Step is a package of nuka on the way from a root to a part.
type Step struct {
	PID     pir.PID `json:"pid"`
	Name    string  `json:"name"`
	Version string  `json:"version,omitempty"`
	// Fixes are the vulnerabilities that its packager says a patch of the build fixes: the field cves.
	Fixes []string `json:"-"`
	// Set is the package set that is known to have it, "" if none is: only the signers of that set may make statements about it.
	Set string `json:"set,omitempty"`
	// Flags are those of the package, and Known says that they are: without it a statement about flags does not count.
	Flags map[string]bool `json:"-"`
	Known bool            `json:"-"`
}

// A Use is a part in what a root keeps.
type Use struct {
	Part Part   `json:"-"`
	Root string `json:"root"` // such as profile/default, or user/tools
	Path []Step `json:"path"` // from the package that the root names to the one that has the part
	// Tool says that only tools of builds lead to the part.
	Tool bool   `json:"tool,omitempty"`
	Note string `json:"note,omitempty"`
	// Notice is what the recording of a build says against the part, and Says its author's words; "" is nothing.
	Notice osv.Notice `json:"-"`
	Says   string     `json:"-"`
	// Unknown says why the part cannot be compared with anything: its ecosystem, name or version is not known. "" is nothing.
	Unknown string `json:"-"`
}

func compareUses(a, b Use) int {
	return cmp.Or(strings.Compare(a.Root, b.Root), slices.CompareFunc(a.Path, b.Path, func(x, y Step) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.Version, y.Version), slices.Compare(x.PID[:], y.PID[:]))
	}))
}

// A State says what can be done about a finding.
type State string

// The states.
const (
	Available State = "available" // the package set has a version without it
	Upstream  State = "upstream"  // another version of the part is fixed; the package set does not have it
	NoFix     State = "none"      // no version is known to be fixed
)

// A Source is one record that says that a part is affected.
type Source struct {
	Feed  string    `json:"feed"`
	Entry osv.Entry `json:"record"`
}

// A Finding is a vulnerability of a part that some packages contain.
type Finding struct {
	ID        string    `json:"id"` // a CVE if the records name one, else the first record
	IDs       []string  `json:"ids"`
	Part      Part      `json:"part"`
	Level     osv.Level `json:"-"`
	LevelName string    `json:"level"`
	Exploited bool      `json:"exploited,omitempty"`
	EPSS      float64   `json:"epss,omitempty"` // the largest of the records; 0 is not known
	// Notice says that this is no vulnerability, and what it is: yanked, retracted, deprecated or unsupported.
	Notice  osv.Notice `json:"notice,omitempty"`
	Summary string     `json:"summary,omitempty"`
	URL     string     `json:"url,omitempty"`
	Fixed   string     `json:"fixed,omitempty"` // the part's version that is fixed
	State   State      `json:"state"`
	Uses    []Use      `json:"uses"`
	Feeds   []string   `json:"feeds"`
	// Denied are feeds that have one of these records and say that the version is not affected. The worst counts.
	Denied  []string `json:"denied,omitempty"`
	records []Source
}

// Key identifies a finding over time: what a user was told about is not told again.
func (f *Finding) Key() string {
	return strings.Join([]string{f.Part.Ecosystem, f.Part.Name, f.Part.Version, f.ID}, " ")
}

// A Cleared is a finding that does not count for some uses, and who says so.
type Cleared struct {
	Finding
	By   string `json:"by"`   // package, statement, ignore or snooze
	Who  string `json:"who"`  // whose word it is
	Says string `json:"says"` // what they say
}

// A Doubt is a record of which nobody can tell whether it affects a part.
type Doubt struct {
	ID   string `json:"id"`
	Part Part   `json:"part"`
	Feed string `json:"feed"`
	Why  string `json:"why"`
	Uses []Use  `json:"uses"`
}

// An Uncovered is a part that no feed says anything about.
type Uncovered struct {
	Part Part   `json:"part"`
	Why  string `json:"why"`
	Uses []Use  `json:"uses"`
}

// A Report is the result of an audit.
type Report struct {
	Findings  []Finding   // worst first
	Notices   []Finding   // what is no vulnerability: see Finding.Notice
	Cleared   []Cleared   //
	Doubts    []Doubt     //
	Uncovered []Uncovered //
	// Parts and Covered count the parts that were looked at, each version once.
	Parts, Covered int
	// Withdrawn are records that match a part and were withdrawn: they do not count.
	Withdrawn []string
	// Unused are ignores that no finding needed.
	Unused []Ignore
	// Refused are statements that do not count, in words for people.
	Refused []string
}
