package advisory

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/advisory/feed"
	"github.com/MordragT/nuka/advisory/osv"
)

// A claim says that a finding does not count for a use.
type claim struct{ by, who, says string }

// Clear moves findings that do not count to r.Cleared, each with who says so: packagers in their packages, packagers in the statements of their feeds, and the user's ignores. A finding
// of several records is cleared only if each record is: an alias that joins two vulnerabilities takes nothing away.
func (r *Report) Clear(feeds []Feed, ignores []Ignore, now time.Time) error {
	stated := map[string][]feed.Statement{}
	for _, f := range feeds {
		list, err := f.Tree.Statements()
		if err != nil {
			return err
		}
		stated[f.Name] = list
	}
	used := make([]bool, len(ignores))
	var left, notices []Finding
	for _, f := range slices.Concat(r.Findings, r.Notices) {
		var uses []Use
		cleared := map[claim][]Use{}
		for _, u := range f.Uses {
			c, ok := byPackage(&f, &u)
			if !ok {
				c, ok = r.byStatement(&f, &u, feeds, stated)
			}
			if !ok {
				c, ok = byIgnore(&f, ignores, used, now)
			}
			if ok {
				cleared[c] = append(cleared[c], u)
			} else {
				uses = append(uses, u)
			}
		}
		for c, list := range cleared {
			one := f
			one.Uses = list
			r.Cleared = append(r.Cleared, Cleared{one, c.by, c.who, c.says})
		}
		if len(uses) > 0 {
			f.Uses = uses
			if f.Notice != "" {
				notices = append(notices, f)
			} else {
				left = append(left, f)
			}
		}
	}
	r.Findings, r.Notices = left, notices
	for i := range ignores {
		if !used[i] && !ignores[i].Ended(now) {
			r.Unused = append(r.Unused, ignores[i])
		}
	}
	slices.Sort(r.Refused)
	r.Refused = slices.Compact(r.Refused)
	r.sort()
	return nil
}

// covers reports whether ids name each record of a finding, by its identifier or an alias that the record itself gives.
func (f *Finding) covers(ids []string) bool {
	for i := range f.records {
		if !slices.ContainsFunc(f.records[i].Entry.IDs(), func(id string) bool { return slices.Contains(ids, id) }) {
			return false
		}
	}
	return len(f.records) > 0
}

// byPackage looks for a package on the way whose packager says that a patch of its build fixes the vulnerability. The last package is the one that is made from the part.
func byPackage(f *Finding, u *Use) (claim, bool) {
	if len(u.Path) == 0 {
		return claim{}, false
	}
	last := &u.Path[len(u.Path)-1]
	if !f.covers(last.Fixes) {
		return claim{}, false
	}
	return claim{"package", "the packager of " + strings.TrimSpace(last.Name+" "+last.Version), "fixed by a patch of the build (cves)"}, true
}

// byStatement looks for a statement about a package on the way. A feed speaks only about packages of the sets that its keys sign.
func (r *Report) byStatement(f *Finding, u *Use, feeds []Feed, stated map[string][]feed.Statement) (claim, bool) {
	for _, from := range feeds {
		for i := range stated[from.Name] {
			s := &stated[from.Name][i]
			if !s.Clears() || !f.covers([]string{s.ID}) {
				continue
			}
			for j := range u.Path {
				step := &u.Path[j]
				if step.Name != s.Package {
					continue
				}
				if why := refuses(&from, s, step); why != "" {
					r.Refused = append(r.Refused, fmt.Sprintf("feed %s says %s about %s and %s, which does not count: %s", from.Name, s.Status, s.ID, s.Package, why))
					continue
				}
				says := string(s.Status)
				if s.Why != "" {
					says += ": " + s.Why
				}
				if s.Text != "" {
					says += " (" + s.Text + ")"
				}
				return claim{"statement", "feed " + from.Name, says}, true
			}
		}
	}
	return claim{}, false
}

// refuses says why a statement does not count for a package, and "" if it does.
func refuses(from *Feed, s *feed.Statement, step *Step) string {
	switch {
	case !from.Local && (step.Set == "" || !from.Sets[step.Set]):
		return "the package is not of a set that the keys of the feed sign"
	case !s.PID.IsZero() && s.PID != step.PID:
		return "it is about another PID"
	case s.PID.IsZero() && !slices.Contains(s.Versions, step.Version):
		return fmt.Sprintf("it is not about version %s", step.Version)
	}
	for name, want := range s.When {
		if !step.Known {
			return "it depends on flags of the package, which are not known"
		}
		if step.Flags[name] != want {
			return fmt.Sprintf("it is about --%s %t", name, want)
		}
	}
	return ""
}

func byIgnore(f *Finding, ignores []Ignore, used []bool, now time.Time) (claim, bool) {
	for i := range ignores {
		if g := &ignores[i]; !g.Ended(now) && g.matches(f) {
			used[i] = true
			by := "ignore"
			if g.Snooze {
				by = "snooze"
			}
			return claim{by, "you", strings.TrimSpace(g.Why + " (until " + g.Until + ")")}, true
		}
	}
	return claim{}, false
}

// AtLeast returns the findings of a level and above; exploited ones are above all.
func AtLeast(list []Finding, l osv.Level) []Finding {
	return slices.DeleteFunc(slices.Clone(list), func(f Finding) bool { return !f.Exploited && f.Level.Rank() < l.Rank() })
}
