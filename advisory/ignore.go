package advisory

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/advisory/osv"
	"github.com/MordragT/nuka/pir/nuon"
)

// The ends of an ignore that are no date.
const (
	UntilFixed   = "fixed"   // until a fixed version of the part is known
	UntilVersion = "version" // until the part has another version
)

const (
	maxIgnores = 10_000
	maxWhy     = 500 // bytes
	// MaxIgnored bounds the file of ignores, in bytes.
	MaxIgnored = 8 << 20
)

// An Ignore is the user's decision not to see a finding for some time.
type Ignore struct {
	ID       string   // as the user named it
	IDs      []string // that identifier and the aliases that its record had, as they were shown to the user
	Part     string   // the name of a part; "" is each
	Versions []string // of the part, if Until is UntilVersion
	Why      string
	Until    string // a date, UntilFixed or UntilVersion
	Snooze   bool   // it was put off, and not decided
	Made     time.Time
}

// Check returns what is wrong with an ignore. One that would hide more than what its user looked at is refused.
func (g *Ignore) Check() error {
	switch {
	case !osv.IsID(g.ID):
		return fmt.Errorf("%.80q is no identifier of one record", g.ID)
	case !slices.Contains(g.IDs, g.ID) || len(g.IDs) > 200 || slices.ContainsFunc(g.IDs, func(id string) bool { return !osv.IsID(id) }):
		return fmt.Errorf("%s: its aliases are wrong", g.ID)
	case strings.ContainsAny(g.Part, "*?\n") || len(g.Part) > 512:
		return fmt.Errorf("%s: %.80q is no part", g.ID, g.Part)
	case strings.TrimSpace(g.Why) == "" && !g.Snooze:
		return fmt.Errorf("%s: it has no reason", g.ID)
	case len(g.Why) > maxWhy || strings.ContainsAny(g.Why, "\n\r\x00"):
		return fmt.Errorf("%s: its reason has more than %d bytes, or several lines", g.ID, maxWhy)
	case g.Until == UntilVersion && len(g.Versions) == 0:
		return fmt.Errorf("%s: the version that it is about is not known", g.ID)
	case g.Until != UntilFixed && g.Until != UntilVersion:
		if _, err := time.Parse(time.DateOnly, g.Until); err != nil {
			return fmt.Errorf("%s: until %.40q: want %s, %s or a date as 2027-01-31", g.ID, g.Until, UntilFixed, UntilVersion)
		}
	}
	return nil
}

// Ended reports whether an ignore's date is over.
func (g *Ignore) Ended(now time.Time) bool {
	date, err := time.Parse(time.DateOnly, g.Until)
	return err == nil && !now.Before(date)
}

// matches reports whether an ignore is about a finding, as the finding is now.
func (g *Ignore) matches(f *Finding) bool {
	return (g.Part == "" || g.Part == f.Part.Name) && f.covers(g.IDs) && (g.Until != UntilFixed || f.Fixed == "") &&
		(g.Until != UntilVersion || slices.Contains(g.Versions, f.Part.Version))
}

// EncodeIgnores returns the text of the file of ignores.
func EncodeIgnores(list []Ignore) ([]byte, error) {
	if len(list) > maxIgnores {
		return nil, fmt.Errorf("%d ignores are more than %d", len(list), maxIgnores)
	}
	texts := func(list []string) nuon.List {
		out := make(nuon.List, len(list))
		for i, s := range list {
			out[i] = s
		}
		return out
	}
	out := make(nuon.List, len(list))
	for i := range list {
		g := &list[i]
		if err := g.Check(); err != nil {
			return nil, err
		}
		rec := nuon.Record{"id": g.ID, "ids": texts(g.IDs), "until": g.Until, "why": g.Why, "made": g.Made.Unix()}
		if g.Part != "" {
			rec["part"] = g.Part
		}
		if len(g.Versions) > 0 {
			rec["versions"] = texts(g.Versions)
		}
		if g.Snooze {
			rec["snooze"] = true
		}
		out[i] = rec
	}
	text, err := nuon.Encode(nuon.Record{"ignored": int64(1), "list": out})
	return append(text, '\n'), err
}

// DecodeIgnores reads the text of the file of ignores. It accepts only what EncodeIgnores writes: a file that somebody else wrote is an error, and hides nothing.
func DecodeIgnores(text []byte) ([]Ignore, error) {
	rec, err := nuon.DecodeRecord(bytes.TrimSuffix(text, []byte("\n")))
	if err != nil {
		return nil, err
	}
	texts := func(v any) (out []string) {
		list, _ := v.(nuon.List)
		for _, one := range list {
			s, _ := one.(string)
			out = append(out, s)
		}
		return out
	}
	entries, _ := rec["list"].(nuon.List)
	list := make([]Ignore, len(entries))
	for i, v := range entries {
		one, _ := v.(nuon.Record)
		g := &list[i]
		g.ID, _ = one["id"].(string)
		g.Part, _ = one["part"].(string)
		g.Why, _ = one["why"].(string)
		g.Until, _ = one["until"].(string)
		g.Snooze, _ = one["snooze"].(bool)
		made, _ := one["made"].(int64)
		g.Made, g.IDs, g.Versions = time.Unix(made, 0).UTC(), texts(one["ids"]), texts(one["versions"])
	}
	again, err := EncodeIgnores(list)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, text) {
		return nil, errors.New("a field is unknown or wrong")
	}
	return list, nil
}
