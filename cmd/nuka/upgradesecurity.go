package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/advisory"
)

// A securityResult is what upgrade --security writes with --json.
type securityResult struct {
	changeResult
	Goes  []string `json:"goes"`  // findings that the upgrade clears
	Stays []string `json:"stays"` // findings of the named packages that stay
}

// A securityPlan says which packages an upgrade changes, and which findings go and stay.
type securityPlan struct {
	chosen, pinned []string
	going, staying []advisory.Finding
}

// planSecurity chooses the packages of a profile whose upgrade clears a finding: the named ones, or all.
func planSecurity(r *audited, names []string, profile string) *securityPlan {
	p := &securityPlan{}
	goes := map[string]bool{}
	for _, f := range r.fixes {
		in := f.root.installed
		switch {
		case in.profile != profile || len(names) > 0 && !slices.Contains(names, in.name):
		case in.pinned:
			p.pinned = append(p.pinned, in.name)
		default:
			p.chosen = append(p.chosen, in.name)
			for key := range f.goes {
				goes[key] = true
			}
		}
	}
	slices.Sort(p.chosen)
	slices.Sort(p.pinned)
	for _, f := range r.report.Findings {
		if goes[f.Key()] && !staysElsewhere(r, &f, p.chosen, profile) {
			p.going = append(p.going, f)
		} else {
			p.staying = append(p.staying, f)
		}
	}
	return p
}

// upgradeSecurity upgrades the packages whose upgrade clears a finding, and no others.
func (a *app) upgradeSecurity(c *cobra.Command, names []string, o *profileOptions) error {
	ctx := c.Context()
	r, err := a.audit(ctx, nil, &auditOptions{})
	if err != nil {
		return err
	}
	for i := range r.feeds {
		a.say("%s", feedAge(&r.feeds[i], r.now))
	}
	p := planSecurity(r, names, o.name)
	if len(p.pinned) > 0 {
		a.say("pinned, and an upgrade would clear findings: %s", strings.Join(p.pinned, ", "))
	}
	if len(p.chosen) == 0 {
		if a.json {
			return a.terminal.json(securityResult{changeResult{Profile: o.name, Changes: []changed{}}, []string{}, keysOf(p.staying)})
		}
		a.printStays(p.staying)
		a.say("no upgrade clears a finding: %s", r.summary(&auditOptions{}))
		return nil
	}
	t, err := a.begin(ctx, o, strings.TrimSpace("upgrade --security "+strings.Join(names, " ")))
	if err != nil {
		return err
	}
	defer t.close()
	for _, name := range names {
		if err := t.mustHave(name); err != nil {
			return err
		}
	}
	if _, err := t.evaluate(ctx, p.chosen); err != nil {
		return err
	}
	if !a.json {
		a.printSecurity(r, p, o.name)
	}
	if o.dryRun && !a.json {
		return t.finish(ctx)
	}
	plan, err := t.plan(ctx)
	if err != nil {
		return err
	}
	result := securityResult{changeResult{Profile: o.name, Changes: changedOf(t.changes())}, keysOf(p.going), keysOf(p.staying)}
	if o.dryRun {
		result.Plan = plan
		return a.terminal.json(result)
	}
	if !a.yes && !a.json {
		a.printChanges(t.changes(), plan)
	}
	if err := a.confirm(c, upgradeMeans(len(t.changes()), plan)); err != nil {
		return err
	}
	if !a.json {
		return t.finish(ctx)
	}
	if err := t.commit(ctx); err != nil {
		return err
	}
	result.Generation = t.next.Number
	return a.terminal.json(result)
}

// printSecurity prints which findings go and stay, and which come.
func (a *app) printSecurity(r *audited, p *securityPlan, profile string) {
	for i := range p.going {
		fmt.Fprintln(a.out, printable(fmt.Sprintf("goes   %s  %s", p.going[i].Part, p.going[i].ID)))
	}
	a.printStays(p.staying)
	for _, name := range p.chosen {
		if f := r.fixes[profile+"/"+name]; len(f.brings) > 0 {
			a.say("%s: the new state has findings that the old one has not: %s", name, shortList(f.brings, 6))
		}
	}
}

// staysElsewhere reports whether a finding has uses in packages that the upgrade does not change.
func staysElsewhere(r *audited, f *advisory.Finding, chosen []string, profile string) bool {
	return slices.ContainsFunc(f.Uses, func(u advisory.Use) bool {
		return !slices.ContainsFunc(r.roots, func(root auditRoot) bool {
			in := root.installed
			return in != nil && in.profile == profile && slices.Contains(chosen, in.name) && root.name == u.Root && len(u.Path) > 0 && u.Path[0].PID == root.pid
		})
	})
}

func keysOf(list []advisory.Finding) []string {
	out := []string{}
	for i := range list {
		out = append(out, list[i].Key())
	}
	return out
}

// printStays prints the findings that no upgrade clears, and what their user can do.
func (a *app) printStays(list []advisory.Finding) {
	for i := range list {
		f := &list[i]
		text := fmt.Sprintf("stays  %s  %s  %s", f.Part, f.ID, stateText(f))
		if f.Fixed != "" && f.Part.Ecosystem != "Debian" {
			text += fmt.Sprintf("; in a project of yours: ask for %s %s or newer, and nuka lock", f.Part.Name, f.Fixed)
		}
		fmt.Fprintln(a.out, printable(text))
	}
}
