package advisory

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Brief is what is remembered of a finding, so that a user is told of each change once.
type Brief struct {
	ID        string   `json:"id"`
	Part      string   `json:"part"`
	Level     string   `json:"level"`
	Exploited bool     `json:"exploited,omitempty"`
	Fixable   bool     `json:"fixable,omitempty"` // the package set has a fix
	Packages  []string `json:"packages"`          // the packages that the user keeps and that have it
}

// A Picture is the state of all findings at one time, by their keys.
type Picture struct {
	Findings map[string]Brief `json:"findings"`
	// Withdrawn are identifiers of records that were withdrawn, and Stated maps keys of findings to the feeds whose statements cleared them.
	Withdrawn []string          `json:"withdrawn,omitempty"`
	Stated    map[string]string `json:"stated,omitempty"`
}

// PictureOf returns the state of the findings of a report.
func PictureOf(r *Report) Picture {
	p := Picture{Findings: map[string]Brief{}, Withdrawn: r.Withdrawn, Stated: map[string]string{}}
	for i := range r.Findings {
		f := &r.Findings[i]
		b := Brief{ID: f.ID, Part: f.Part.String(), Level: f.LevelName, Exploited: f.Exploited, Fixable: f.State == Available}
		for _, u := range f.Uses {
			name := u.Root
			if len(u.Path) > 0 {
				name = u.Path[0].Name
			}
			b.Packages = append(b.Packages, name)
		}
		slices.Sort(b.Packages)
		b.Packages = slices.Compact(b.Packages)
		p.Findings[f.Key()] = b
	}
	for i := range r.Cleared {
		if c := &r.Cleared[i]; c.By == "statement" {
			p.Stated[c.Key()] = c.Who
		}
	}
	return p
}

// News is what changed between two pictures and is worth a word.
type News struct {
	New       []string `json:"new"`       // findings that were not there
	Fixable   []string `json:"fixable"`   // findings that now have a fix in the package set
	Exploited []string `json:"exploited"` // findings that are now being exploited
	Withdrawn []string `json:"withdrawn"` // findings whose record was withdrawn
	Stated    []string `json:"stated"`    // findings that a packager now says do not count
}

// Any reports whether there is any news.
func (n *News) Any() bool {
	return len(n.New)+len(n.Fixable)+len(n.Exploited)+len(n.Withdrawn)+len(n.Stated) > 0
}

// Since returns what is new in p since an earlier picture. A finding that is gone because something was upgraded, ignored or removed is no news: its user did that.
func (p *Picture) Since(old *Picture) (n News) {
	for _, key := range slices.Sorted(maps.Keys(p.Findings)) {
		was, there := old.Findings[key]
		is := p.Findings[key]
		switch {
		case !there:
			n.New = append(n.New, key)
		case is.Exploited && !was.Exploited:
			n.Exploited = append(n.Exploited, key)
		case is.Fixable && !was.Fixable:
			n.Fixable = append(n.Fixable, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(old.Findings)) {
		if _, there := p.Findings[key]; there {
			continue
		}
		if p.Stated[key] != "" {
			n.Stated = append(n.Stated, key)
		} else if slices.Contains(p.Withdrawn, old.Findings[key].ID) {
			n.Withdrawn = append(n.Withdrawn, key)
		}
	}
	return n
}

// Line returns one line about the findings of a picture, for a terminal; "" if there is nothing to say. However many findings there are, it is one line.
func (p *Picture) Line(n *News, old *Picture) string {
	var words []string
	if len(n.New)+len(n.Fixable)+len(n.Exploited) > 0 {
		packages, exploited := map[string]bool{}, 0
		for _, b := range p.Findings {
			for _, name := range b.Packages {
				packages[name] = true
			}
			if b.Exploited {
				exploited++
			}
		}
		text := "1 package has a known vulnerability"
		if len(packages) != 1 {
			text = fmt.Sprintf("%d packages have known vulnerabilities", len(packages))
		}
		if exploited > 0 {
			text += fmt.Sprintf(" (%d exploited)", exploited)
		}
		words = append(words, text+": nuka audit")
	}
	gone := func(keys []string, why string) {
		if len(keys) == 0 {
			return
		}
		text := old.Findings[keys[0]].ID
		if len(keys) > 1 {
			text = fmt.Sprintf("%s and %d more", text, len(keys)-1)
		}
		words = append(words, text+" "+why)
	}
	gone(n.Withdrawn, "withdrawn: no longer counted")
	gone(n.Stated, "no longer counted: a packager says that it does not affect you (nuka audit --all)")
	return strings.Join(words, "; ")
}
