package osv

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/MordragT/nuka/advisory/version"
)

// The bounds of a record. The largest of the Go vulnerability database has 40 KiB and 61 packages; of Debian, some hundred thousand versions.
const (
	MaxRecord  = 4 << 20 // bytes
	maxID      = 128     // bytes of an identifier
	maxAliases = 100
	maxName    = 512 // bytes of the name of a package
	maxPackage = 5_000
	maxEvents  = 5_000
	maxListed  = 50_000 // versions of one package
	maxSummary = 300    // bytes that are kept
	maxRefs    = 1_000
)

// A Record is an OSV record, of any version of the schema up to 1.7.
type Record struct {
	ID        string
	Modified  string // as written; some databases have no real time here
	Published string
	Withdrawn string // "" if the record counts
	Aliases   []string
	Summary   string
	Level     Level
	Score     string // the CVSS vector that gave the level, or what its database calls it
	Exploited bool   // a feed says that it is being exploited
	// EPSS is the probability that it is exploited within 30 days, as a feed says (first.org/epss); 0 is not known.
	EPSS float64
	// Notice says that the record is no vulnerability, and what it is; "" is a vulnerability.
	Notice   Notice
	URL      string // the first reference, else ""
	Affected []Affected
	// Faults are what is wrong with the record and does not keep it from being used.
	Faults []string
}

// An Affected is a package of a record.
type Affected struct {
	Ecosystem string
	Name      string
	Versions  []string
	Ranges    []Range
	// Fault is what keeps the package from being evaluated: every version of it is Unknown. "" is nothing.
	Fault string
}

// A Range is a list of events. Type is SEMVER, ECOSYSTEM or GIT.
type Range struct {
	Type   string  `json:"type"`
	Events []Event `json:"events"`
}

// An Event has exactly one of its fields.
type Event struct {
	Introduced   string `json:"introduced,omitempty"`
	Fixed        string `json:"fixed,omitempty"`
	LastAffected string `json:"last_affected,omitempty"`
	Limit        string `json:"limit,omitempty"`
}

// The forms of JSON. Fields that others have written in many ways are read as they are.
type rawRecord struct {
	ID        string            `json:"id"`
	Modified  string            `json:"modified"`
	Published string            `json:"published"`
	Withdrawn json.RawMessage   `json:"withdrawn"`
	Aliases   []json.RawMessage `json:"aliases"`
	Summary   string            `json:"summary"`
	Details   string            `json:"details"`
	Severity  json.RawMessage   `json:"severity"`
	Affected  []rawAffected     `json:"affected"`
	Refs      []struct {
		URL string `json:"url"`
	} `json:"references"`
	Database json.RawMessage `json:"database_specific"`
}

type rawAffected struct {
	Package struct {
		Ecosystem string `json:"ecosystem"`
		Name      string `json:"name"`
	} `json:"package"`
	Versions []json.RawMessage `json:"versions"`
	Severity json.RawMessage   `json:"severity"`
	Ranges   []struct {
		Type   string                       `json:"type"`
		Events []map[string]json.RawMessage `json:"events"`
	} `json:"ranges"`
}

var idPattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]*$`) })

// IsID reports whether a text can be the identifier of a record.
func IsID(s string) bool { return len(s) <= maxID && idPattern().MatchString(s) }

var ecosystemPattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}(:[A-Za-z0-9 ._:-]{1,64})?$`)
})

// Parse reads a record. An error means that nothing of it can be used; a fault of one package is in that package's Fault.
func Parse(text []byte) (*Record, error) {
	if len(text) > MaxRecord {
		return nil, fmt.Errorf("the record has %d bytes, which is more than %d", len(text), MaxRecord)
	}
	var raw rawRecord
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("it is no OSV record: %w", err)
	}
	if !IsID(raw.ID) {
		return nil, fmt.Errorf("id %.40q is none", raw.ID)
	}
	if len(raw.Affected) > maxPackage {
		return nil, fmt.Errorf("%s concerns %d packages, which is more than %d", raw.ID, len(raw.Affected), maxPackage)
	}
	r := &Record{ID: raw.ID, Modified: plain(raw.Modified, 40), Published: plain(raw.Published, 40), Summary: plain(raw.Summary, maxSummary)}
	if r.Summary == "" {
		first, _, _ := strings.Cut(strings.TrimSpace(raw.Details), "\n")
		r.Summary = plain(first, maxSummary)
	}
	r.withdraw(raw.Withdrawn)
	r.alias(raw.Aliases)
	if len(raw.Refs) > 0 && len(raw.Refs) <= maxRefs {
		r.URL = plain(raw.Refs[0].URL, 500)
	}
	severities := []json.RawMessage{raw.Severity}
	for i := range raw.Affected {
		severities = append(severities, raw.Affected[i].Severity)
	}
	r.severity(severities, raw.Database)
	for i := range raw.Affected {
		a, err := readAffected(&raw.Affected[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", raw.ID, err)
		}
		if a.Fault != "" {
			r.Faults = append(r.Faults, fmt.Sprintf("%s: %s", a.Name, a.Fault))
		}
		r.Affected = append(r.Affected, a)
	}
	return r, nil
}

func isNull(text json.RawMessage) bool {
	return len(text) == 0 || bytes.Equal(bytes.TrimSpace(text), []byte("null"))
}

// withdraw reads when a record was withdrawn. A value that is no time does not withdraw it: that would hide it.
func (r *Record) withdraw(text json.RawMessage) {
	if isNull(text) {
		return
	}
	var when string
	if err := json.Unmarshal(text, &when); err != nil || len(when) < len("2006-01-02") || len(when) > 40 || !strings.HasPrefix(when, "2") {
		r.Faults = append(r.Faults, fmt.Sprintf("withdrawn: %.40q is no time, so the record counts", string(text)))
		return
	}
	r.Withdrawn = plain(when, 40)
}

func (r *Record) alias(list []json.RawMessage) {
	for i, text := range list {
		if i == maxAliases {
			r.Faults = append(r.Faults, fmt.Sprintf("%d aliases, of which the first %d count", len(list), maxAliases))
			break
		}
		var id string
		if err := json.Unmarshal(text, &id); err != nil || !IsID(id) {
			r.Faults = append(r.Faults, fmt.Sprintf("alias %.40q is no identifier", string(text)))
			continue
		}
		r.Aliases = append(r.Aliases, id)
	}
	slices.Sort(r.Aliases)
	r.Aliases = slices.Compact(r.Aliases)
}

// readAffected reads one package of a record. A record that concerns everything, or nothing, is refused: it would be on every package.
func readAffected(raw *rawAffected) (a Affected, err error) {
	a = Affected{Ecosystem: raw.Package.Ecosystem, Name: raw.Package.Name}
	if a.Ecosystem == "" && a.Name == "" && len(raw.Ranges) > 0 { // only commits of a repository, which nuka does not look at
		a.Ecosystem, a.Name = "GIT", "-"
	}
	switch {
	case !ecosystemPattern().MatchString(a.Ecosystem):
		return a, fmt.Errorf("ecosystem %.80q is none", a.Ecosystem)
	case a.Name == "" || strings.ContainsAny(a.Name, "*?\t") || len(a.Name) > maxName || !isPlain(a.Name):
		return a, fmt.Errorf("%.80q cannot be the name of a package", a.Name)
	}
	if len(raw.Versions) > maxListed {
		a.Fault = fmt.Sprintf("it lists %d versions, which is more than %d", len(raw.Versions), maxListed)
		return a, nil
	}
	for _, text := range raw.Versions {
		var v string
		if json.Unmarshal(text, &v) != nil || v == "" || len(v) > version.MaxLength || !isPlain(v) {
			a.Fault = fmt.Sprintf("version %.40q is none", string(text))
			return a, nil
		}
		a.Versions = append(a.Versions, v)
	}
	for i := range raw.Ranges {
		events, err := readEvents(raw.Ranges[i].Events)
		kind := raw.Ranges[i].Type
		if err == nil && kind != "SEMVER" && kind != "ECOSYSTEM" && kind != "GIT" {
			err = fmt.Errorf("range of type %.40q", kind)
		}
		if err == nil && kind != "GIT" {
			err = checkVersions(a.Ecosystem, events)
		}
		if err != nil {
			a.Fault = err.Error()
			return a, nil
		}
		a.Ranges = append(a.Ranges, Range{kind, events})
	}
	if len(a.Ranges) == 0 && len(a.Versions) == 0 {
		a.Fault = "it names no versions"
	}
	return a, nil
}

func readEvents(list []map[string]json.RawMessage) (events []Event, err error) {
	if len(list) > maxEvents {
		return nil, fmt.Errorf("%d events are more than %d", len(list), maxEvents)
	}
	introduced, fixed, last := false, false, false
	for _, one := range list {
		if len(one) != 1 {
			return nil, fmt.Errorf("an event has %d keys, want 1", len(one))
		}
		for key, text := range one {
			var v string
			if json.Unmarshal(text, &v) != nil || v == "" || len(v) > version.MaxLength || !isPlain(v) {
				return nil, fmt.Errorf("event %.40q: %.40q is no version", key, string(text))
			}
			e := Event{}
			switch key {
			case "introduced":
				e.Introduced, introduced = v, true
			case "fixed":
				e.Fixed, fixed = v, true
			case "last_affected":
				e.LastAffected, last = v, true
			case "limit":
				e.Limit = v
			default:
				return nil, fmt.Errorf("event %.40q is unknown", key)
			}
			events = append(events, e)
		}
	}
	switch {
	case !introduced:
		return nil, errors.New("no event says where the range begins")
	case fixed && last:
		return nil, errors.New("a range has both fixed and last_affected")
	}
	return events, nil
}

// checkVersions returns an error if an event has a text that the ecosystem's order cannot place.
func checkVersions(ecosystem string, events []Event) error {
	order, ok := version.Of(ecosystem)
	if !ok {
		return nil // only the listed versions can be compared
	}
	for _, e := range events {
		if e.Introduced == "0" || e.Limit == "*" {
			continue
		}
		if v := e.version(); !order.Valid(v) {
			return fmt.Errorf("%.60q is no version of %s", v, ecosystem)
		}
	}
	return nil
}

// version returns the version of an event.
func (e *Event) version() string {
	for _, v := range []string{e.Introduced, e.Fixed, e.LastAffected, e.Limit} {
		if v != "" {
			return v
		}
	}
	return ""
}

// isPlain reports whether a text can be shown as it is: no control characters, and none that change the direction of a line.
func isPlain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
	})
}

// plain returns a text without the characters that isPlain refuses, cut to some bytes.
func plain(s string, most int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return '\uFFFD'
		}
		return r
	}, s)
	for len(s) > most {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return strings.TrimSpace(s)
}
