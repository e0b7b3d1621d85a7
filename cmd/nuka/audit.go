package main

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/MordragT/nuka/advisory"
	"github.com/MordragT/nuka/advisory/feed"
	"github.com/MordragT/nuka/advisory/osv"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/profile"
	"github.com/MordragT/nuka/protocol"
)

// The exit codes of audit.
const (
	exitFindings  = 1 // there are findings
	exitCannotSay = 2 // the list may not be whole: a feed is stale, nothing is covered, or with --strict anything is in doubt
)

// auditOptions are the flags of audit.
type auditOptions struct {
	tools, all, fixable, strict, notices bool
	level                                string
	feeds                                []string
}

func (a *app) auditCommand() *cobra.Command {
	var o auditOptions
	c := &cobra.Command{
		Use:   "audit [PKG…]",
		Short: "find known vulnerabilities in what is installed",
		Long: `Audit compares everything that installed packages and roots are made of with the feeds of advisories that you follow (nuka advisories). It asks no network:
nobody learns what you have. A finding names the packages that contain the part. Build tools are left out unless you give --tools.

PKG is the name of an installed package, a root such as user/tools, a PID, or a package name or file; without it, audit looks at the generation in use of each profile
and at all roots.

Exit codes: 0 nothing was found; 1 there are findings; 2 audit cannot say: a feed is stale, no part is covered, or, with --strict, any part is not covered or in doubt.`,
		Example: "  nuka audit\n  nuka audit httpie --all\n  nuka audit --level high --json",
	}
	c.Flags().BoolVar(&o.tools, "tools", false, "look at the tools of builds, too")
	c.Flags().BoolVar(&o.all, "all", false, "list what was cleared, what is in doubt and what is not covered, too")
	c.Flags().BoolVar(&o.fixable, "fixable", false, "list only findings that the package sets have a fix for")
	c.Flags().BoolVar(&o.strict, "strict", false, "end with exit code 2 if anything is not covered or in doubt")
	c.Flags().BoolVar(&o.notices, "notices", false, "list releases that were yanked, retracted, deprecated or are no longer supported, too; they count for the exit code")
	c.Flags().StringVar(&o.level, "level", "low", "list findings of `LEVEL` and above: low, medium, high, critical")
	c.Flags().StringArrayVar(&o.feeds, "feed", nil, "use only the feed `NAME`; may be repeated")
	c.Flags().BoolVar(&a.offline, "offline", false, "use no network; audit uses none in any case")
	a.jsonFlag(c)
	c.ValidArgsFunction = a.completeInstalled(&profileOptions{name: profile.Default})
	c.RunE = func(c *cobra.Command, names []string) error {
		level, ok := osv.ParseLevel(o.level)
		if !ok || level == osv.Unrated {
			return usage("audit: --level %.40q: want low, medium, high or critical", o.level)
		}
		defer debug.SetGCPercent(debug.SetGCPercent(auditGC))
		r, err := a.audit(c.Context(), names, &o)
		if err != nil {
			return err
		}
		if len(names) == 0 && len(o.feeds) == 0 && a.node == "" {
			a.noteAudit(r)
		}
		r.report.Findings = advisory.AtLeast(r.report.Findings, level)
		if o.fixable {
			r.report.Findings = slices.DeleteFunc(r.report.Findings, func(f advisory.Finding) bool { return f.State != advisory.Available })
		}
		if a.json {
			if err := a.terminal.json(auditJSON(r)); err != nil {
				return err
			}
		} else {
			a.printAudit(r, &o)
		}
		return r.exit(&o)
	}
	return c
}

// auditGC is the growth of the heap between two collections, in percent. An audit of 400 parts allocates about 30 MB in all: with Go's 100 a fifth of its processor time
// is collection.
const auditGC = 400

// An audited is the result of an audit, before it is shown.
type audited struct {
	report *advisory.Report
	feeds  []feed.Feed
	broken map[string][]feed.Broken // by feed
	// missing are reasons why the parts of a package may not be all.
	missing []string
	roots   []auditRoot
	tools   int // findings in tools of builds that are not in the report
	now     time.Time
	// fixes are the upgrades that clear findings, by the profile and name of the package.
	fixes map[string]*fix
}

// exit returns the error that ends the command with the right code.
func (r *audited) exit(o *auditOptions) error {
	if r.cannotSay(o.strict) != "" {
		return exitError(exitCannotSay)
	}
	if len(r.report.Findings) > 0 || o.notices && len(r.report.Notices) > 0 {
		return exitError(exitFindings)
	}
	return nil
}

// cannotSay returns why the report does not show that all is well where it lists nothing; "" if it does.
func (r *audited) cannotSay(strict bool) string {
	for i := range r.feeds {
		if age := r.feeds[i].Age(r.now); age != feed.Fresh {
			return "the feed " + r.feeds[i].Name + " is " + string(age)
		}
	}
	switch {
	case r.report.Parts > 0 && r.report.Covered == 0:
		return "no part is covered by a feed"
	case !strict:
		return ""
	case len(r.report.Uncovered) > 0:
		return "parts are not covered by any feed"
	case len(r.report.Doubts) > 0:
		return "records could not be evaluated"
	case len(r.missing) > 0:
		return "not all parts are known"
	}
	for name, list := range r.broken {
		if len(list) > 0 {
			return "the feed " + name + " has broken records"
		}
	}
	return ""
}

// feedsInUse returns the feeds that the user follows, or the named ones of them.
func (a *app) feedsInUse(names []string) (folder *feed.Folder, list []feed.Feed, err error) {
	folder, err = a.advisories()
	if err != nil {
		return nil, nil, err
	}
	all, err := folder.List()
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		i := slices.IndexFunc(all, func(f feed.Feed) bool { return f.Name == name })
		if i < 0 {
			return nil, nil, feed.Unknown(name, all)
		}
		list = append(list, all[i])
	}
	if len(names) == 0 {
		list = all
	}
	if len(list) == 0 {
		return nil, nil, protocol.Errorf(protocol.Invalid, "there is no feed of advisories, so nothing can be said about any package").
			WithHint("subscribe to one: nuka advisories subscribe WHERE")
	}
	return folder, list, nil
}

// openFeeds opens the trees of feeds.
func (a *app) openFeeds(folder *feed.Folder, list []feed.Feed) (open []advisory.Feed, err error) {
	signers := map[string]map[string]bool{} // sets by signer
	if a.node == "" {
		if sets, err := a.setFolder(); err == nil {
			added, _ := sets.List() // nuka set list says what is wrong; without sets no statement counts
			for _, s := range added {
				key := s.Signer.String()
				if signers[key] == nil {
					signers[key] = map[string]bool{}
				}
				signers[key][s.Name] = !s.Signer.IsZero()
			}
		}
	}
	for i := range list {
		tree, err := folder.Tree(&list[i])
		if err != nil {
			return nil, err
		}
		one := advisory.Feed{Name: list[i].Name, Tree: tree, Local: list[i].Local, Sets: map[string]bool{}}
		for _, k := range list[i].Keys {
			maps.Copy(one.Sets, signers[k.String()])
		}
		open = append(open, one)
	}
	return open, nil
}

// audit looks at the named packages, or at all that is live.
func (a *app) audit(ctx context.Context, names []string, o *auditOptions) (*audited, error) {
	out := &audited{now: time.Now(), broken: map[string][]feed.Broken{}, fixes: map[string]*fix{}}
	folder, feeds, err := a.feedsInUse(o.feeds)
	if err != nil {
		return nil, err
	}
	out.feeds = feeds
	var open []advisory.Feed
	var opening errgroup.Group // while the node is asked what is live
	opening.Go(func() (err error) {
		open, err = a.openFeeds(folder, feeds)
		return err
	})
	defer opening.Wait() //nolint:errcheck // looked at below
	ignores, err := a.ignores()
	if err != nil {
		return nil, err
	}
	client, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if out.roots, err = a.auditTargets(ctx, client, names); err != nil {
		return nil, err
	}
	w := &auditWalk{a: a, client: client, missing: map[string]bool{}}
	if w.sets, err = a.setsOf(); err != nil {
		return nil, err
	}
	for i := range out.roots {
		if err := w.root(ctx, &out.roots[i]); err != nil {
			return nil, err
		}
	}
	out.missing = slices.Sorted(maps.Keys(w.missing))
	if err := opening.Wait(); err != nil {
		return nil, err
	}
	for _, f := range open {
		out.broken[f.Name] = f.Tree.Broken
	}
	uses, tools := split(w.uses, o.tools)
	if out.report, err = advisory.Match(uses, open); err != nil {
		return nil, err
	}
	if err := out.report.Clear(open, ignores, out.now); err != nil {
		return nil, err
	}
	hidden, err := advisory.Match(tools, open)
	if err != nil {
		return nil, err
	}
	out.tools = len(hidden.Findings)
	return out, a.findFixes(ctx, client, out, open)
}

// split divides uses into those that are looked at and those of tools alone.
func split(all []advisory.Use, withTools bool) (uses, tools []advisory.Use) {
	for _, u := range all {
		if u.Tool && !withTools {
			tools = append(tools, u)
		} else {
			uses = append(uses, u)
		}
	}
	return uses, tools
}

// auditTargets returns the roots that names mean, or all live ones.
func (a *app) auditTargets(ctx context.Context, client *control.Client, names []string) ([]auditRoot, error) {
	live, err := a.auditRoots(ctx, client)
	if err != nil || len(names) == 0 {
		return live, err
	}
	var out []auditRoot
	for _, name := range names {
		n := len(out)
		for i := range live {
			if in := live[i].installed; live[i].name == name || in != nil && in.name == name {
				out = append(out, live[i])
			}
		}
		if len(out) > n {
			continue
		}
		t, err := a.named(ctx, name, nil)
		if err != nil {
			return nil, err
		}
		r := auditRoot{name: name, thing: *t}
		if r.pid, err = pir.ParsePID(t.id); err != nil {
			return nil, protocol.Errorf(protocol.Invalid, "audit: %.80q: only a PID tells what something is made from", name).WithHint("give the whole PID, a package name or a file")
		}
		out = append(out, r)
	}
	return out, nil
}

// installedRoots returns the packages of the generation in use of each profile.
func (a *app) installedRoots() (out []auditRoot, err error) {
	names, err := profile.Names(a.home.Profiles())
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		dir, err := a.profile(name)
		if err != nil {
			return nil, err
		}
		g, err := dir.Current()
		if err != nil {
			return nil, err
		}
		if g == nil {
			continue
		}
		for _, pkg := range g.Names() {
			p := g.Packages[pkg]
			out = append(out, auditRoot{
				name: protocol.RootProfile + name, pid: p.PID, thing: thing{id: p.PID.String()},
				installed: &auditInstalled{name, pkg, asked{pkg: p.Asked, args: p.Args, set: p.Set}, p.Version, p.Pinned},
			})
		}
	}
	return out, nil
}

// advisories returns the folder of feeds.
func (a *app) advisories() (*feed.Folder, error) { return feed.Open(a.home.Advisories()) }

// ignoredFile returns the file of what the user ignores.
func (a *app) ignoredFile() string { return filepath.Join(a.home.Advisories(), "ignored.nuon") }

// ignores returns what the user ignores. A file that nuka did not write is an error: it hides nothing.
func (a *app) ignores() ([]advisory.Ignore, error) {
	info, err := os.Lstat(a.ignoredFile())
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > advisory.MaxIgnored) {
		return nil, protocol.Errorf(protocol.Damaged, "%s is no file of ignores", a.ignoredFile()).WithHint("remove it")
	}
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(a.ignoredFile())
	if err != nil {
		return nil, err
	}
	list, err := advisory.DecodeIgnores(text)
	if err != nil {
		return nil, protocol.Errorf(protocol.Damaged, "%s: %w", a.ignoredFile(), err).WithHint("nothing is ignored until it is right: remove it, and ignore again: nuka advisories ignore")
	}
	return list, nil
}
