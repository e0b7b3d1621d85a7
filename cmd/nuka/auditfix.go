package main

import (
	"context"
	"maps"
	"slices"

	"github.com/MordragT/nuka/advisory"
	order "github.com/MordragT/nuka/advisory/version"
	"github.com/MordragT/nuka/inventory"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/nu"
)

// This file finds out which findings an upgrade would clear: it describes an installed package as its package set has it now, and compares the parts. It builds nothing.

// A fix is an upgrade of an installed package that clears findings.
type fix struct {
	root    *auditRoot
	result  *nu.Result
	goes    map[string]bool   // keys of findings that it clears
	brings  []string          // identifiers of findings that the new state has and the old one has not
	renames map[string]string // parts whose version changes, old to new
}

// fixKey names an installed package.
func (r *auditRoot) fixKey() string { return r.installed.profile + "/" + r.installed.name }

// findFixes evaluates the installed packages that have findings again, and sets the state of the findings that the new state does not have.
func (a *app) findFixes(ctx context.Context, client *control.Client, r *audited, feeds []advisory.Feed) error {
	offline := a.offline
	a.offline = true // an evaluation would otherwise fetch a source whose hash is missing, to show the hash
	defer func() { a.offline = offline }()
	affected := map[string]bool{} // PIDs
	for i := range r.report.Findings {
		for _, u := range r.report.Findings[i].Uses {
			if len(u.Path) > 0 {
				affected[u.Path[0].PID.String()] = true
			}
		}
	}
	for i := range r.roots {
		root := &r.roots[i]
		if root.installed == nil || !affected[root.pid.String()] || r.fixes[root.fixKey()] != nil {
			continue
		}
		results, err := a.evalEach(ctx, []asked{root.installed.asked})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil || results[0].Root == root.pid {
			continue // the package set does not have it any more, or has nothing new; nuka upgrade says which
		}
		f, err := a.fixOf(ctx, client, r, root, results[0], feeds)
		if err != nil {
			return err
		}
		if len(f.goes) > 0 {
			r.fixes[root.fixKey()] = f
		}
	}
	return nil
}

// fixOf compares the findings of a root with those of its new state.
func (a *app) fixOf(ctx context.Context, client *control.Client, r *audited, root *auditRoot, result *nu.Result, feeds []advisory.Feed) (*fix, error) {
	f := &fix{root: root, result: result, goes: map[string]bool{}, renames: map[string]string{}}
	next := auditRoot{name: root.name, pid: result.Root, thing: thing{id: result.Root.String(), result: result}}
	all, err := a.inventory(ctx, client, &next.thing, false)
	if err != nil {
		return nil, err
	}
	w := &auditWalk{a: a, client: client, missing: map[string]bool{}}
	uses, _ := split(w.usesOf(all, &next), false)
	report, err := advisory.Match(uses, feeds)
	if err != nil {
		return nil, err
	}
	versions := map[[2]string][]string{}
	for _, u := range uses {
		key := [2]string{u.Part.Ecosystem, u.Part.Name}
		versions[key] = append(versions[key], u.Part.Version)
	}
	had := map[string]bool{}
	for i := range r.report.Findings {
		finding := &r.report.Findings[i]
		if !slices.ContainsFunc(finding.Uses, func(u advisory.Use) bool { return len(u.Path) > 0 && u.Path[0].PID == root.pid }) {
			continue
		}
		for _, id := range finding.IDs {
			had[id] = true
		}
		if stays(finding, report) || lower(finding.Part, versions) || notKnown(finding.Part, all) {
			continue
		}
		f.goes[finding.Key()] = true
		finding.State = advisory.Available
		for _, v := range versions[[2]string{finding.Part.Ecosystem, finding.Part.Name}] {
			f.renames[finding.Part.String()] = v
		}
	}
	for i := range report.Findings {
		if !slices.ContainsFunc(report.Findings[i].IDs, func(id string) bool { return had[id] }) {
			f.brings = append(f.brings, report.Findings[i].ID)
		}
	}
	slices.Sort(f.brings)
	f.brings = slices.Compact(f.brings)
	return f, nil
}

// stays reports whether the new state has a finding, or a doubt about it.
func stays(f *advisory.Finding, next *advisory.Report) bool {
	same := func(p advisory.Part) bool { return p.Ecosystem == f.Part.Ecosystem && p.Name == f.Part.Name }
	return slices.ContainsFunc(next.Findings, func(g advisory.Finding) bool {
		return same(g.Part) && slices.ContainsFunc(g.IDs, func(id string) bool { return slices.Contains(f.IDs, id) })
	}) || slices.ContainsFunc(next.Doubts, func(d advisory.Doubt) bool { return same(d.Part) && slices.Contains(f.IDs, d.ID) })
}

// lower reports whether the new state has a lower version of a part: that is no fix, whatever a record says about it.
func lower(p advisory.Part, versions map[[2]string][]string) bool {
	orderOf, ok := order.Of(p.Ecosystem)
	return ok && slices.ContainsFunc(versions[[2]string{p.Ecosystem, p.Name}], func(v string) bool {
		return !orderOf.Valid(v) || orderOf.Compare(v, p.Version) < 0
	})
}

// notKnown reports whether the new state was not built yet and its content has to tell whether the part is in it: then nothing is promised.
func notKnown(p advisory.Part, all *inventory.Inventory) bool {
	return len(all.Missing) > 0 && !slices.ContainsFunc(all.Parts, func(q inventory.Part) bool {
		return ecosystems[q.Type] == p.Ecosystem && (q.Name == p.Name || q.Upstream == p.Name)
	})
}

// upgrades returns the installed packages whose upgrade clears a finding.
func (r *audited) upgrades(f *advisory.Finding) (names []string) {
	for _, key := range slices.Sorted(maps.Keys(r.fixes)) {
		if one := r.fixes[key]; one.goes[f.Key()] {
			names = append(names, one.root.installed.name)
		}
	}
	return slices.Compact(names)
}
