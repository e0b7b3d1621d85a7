package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/profile"
	"github.com/MordragT/nuka/protocol"
)

// This file changes a profile: it makes the packages of a new generation present, then writes the generation.

// profileOptions are the flags of commands that use a profile.
type profileOptions struct {
	name   string
	dryRun bool
	build  buildOptions
}

func (o *profileOptions) nameFlag(c *cobra.Command) {
	c.Flags().StringVar(&o.name, "profile", profile.Default, "use the profile `NAME`")
}

// profile opens a profile.
func (a *app) profile(name string) (*profile.Dir, error) {
	if a.node != "" {
		return nil, protocol.Errorf(protocol.Unsupported, "profiles are on this machine, and --node names another node").WithHint("leave out --node, and unset NUKA_NODE")
	}
	return profile.Open(a.home.Profiles(), name)
}

// start returns how launchers find this nuka.
func (a *app) start() (*profile.Start, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &profile.Start{Program: program}
	if os.Getenv("NUKA_HOME") != "" {
		s.Home = a.home.Data
	}
	return s, nil
}

// A transaction is a change of a profile under way. Its caller closes it.
type transaction struct {
	a      *app
	o      *profileOptions
	dir    *profile.Dir
	lock   *profile.Lock // nil in a dry run, which changes nothing
	client *control.Client
	old    *profile.Generation // nil: none
	next   *profile.Generation
	// results are the evaluations of packages that next has and old may lack.
	results []*nu.Result
}

// begin opens the profile for a change by a command. Without --dry-run it waits until no other command changes the profile.
func (a *app) begin(ctx context.Context, o *profileOptions, command string) (*transaction, error) {
	dir, err := a.profile(o.name)
	if err != nil {
		return nil, err
	}
	t := &transaction{a: a, o: o, dir: dir}
	number := 0
	if !o.dryRun {
		if t.lock, err = dir.Lock(ctx, func() { a.say("waiting for another command that changes the profile %s", o.name) }); err != nil {
			return nil, err
		}
		if number, err = t.lock.Next(); err != nil {
			t.close()
			return nil, err
		}
	}
	if t.old, err = dir.Current(); err != nil {
		t.close()
		return nil, err
	}
	t.next = &profile.Generation{Number: number, Created: time.Now().Truncate(time.Second).UTC(), Command: command, Packages: map[string]profile.Package{}}
	if t.old != nil {
		for name, p := range t.old.Packages {
			t.next.Packages[name] = p
		}
	}
	return t, nil
}

func (t *transaction) close() {
	if t.lock != nil {
		t.lock.Close() //nolint:errcheck // nothing was written to it
	}
	if t.client != nil {
		t.client.Close()
	}
}

// changes returns what the change does.
func (t *transaction) changes() []profile.Change { return profile.Diff(t.old, t.next) }

// request returns the packages of the new generation as one request: its environment and all evaluated packages. The environment is the root.
// Without packages the result is nil.
func (t *transaction) request() (*nu.Result, error) { return environment(t.next.Env(), t.results) }

// environment returns the request for an environment and the evaluations that it was made from.
func environment(env *pir.PIR, results []*nu.Result) (*nu.Result, error) {
	if env == nil {
		return nil, nil
	}
	canonical, err := env.Encode()
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "%w", err)
	}
	all := &nu.Result{Root: pir.Sum(canonical), Name: env.Name}
	for _, r := range results {
		for _, p := range r.Packages {
			if !slices.ContainsFunc(all.Packages, func(q nu.Package) bool { return q.PID == p.PID }) {
				all.Packages = append(all.Packages, p)
			}
		}
		all.Paths = append(all.Paths, r.Paths...)
	}
	all.Packages = append(all.Packages, nu.Package{PID: all.Root, Canonical: canonical, Name: env.Name})
	return all, nil
}

// connect connects to the node, once.
func (t *transaction) connect(ctx context.Context) (err error) {
	if t.client == nil {
		t.client, err = t.a.connect(ctx)
	}
	return err
}

// plan returns the plan of the new generation.
func (t *transaction) plan(ctx context.Context) (*protocol.Plan, error) {
	plan := &protocol.Plan{}
	request, err := t.request()
	if request == nil || err != nil {
		return plan, err
	}
	if err := t.connect(ctx); err != nil {
		return nil, err
	}
	call, packages := t.a.realizeArgs(request)
	return plan, t.client.Call(ctx, protocol.OpPlan, call, plan, &control.CallOptions{Data: packages})
}

// commit makes the packages of the new generation present, writes the generation and puts it into use.
func (t *transaction) commit(ctx context.Context) error {
	if len(t.next.Packages) > 0 {
		if err := t.connect(ctx); err != nil {
			return err
		}
		// The node keeps the environment and each package: a launcher starts a package, not the environment.
		o := t.o.build
		o.root = fmt.Sprintf("%s%s/%d", protocol.RootProfile, t.dir.Name, t.next.Number)
		for _, name := range t.next.Names() {
			o.roots = append(o.roots, protocol.Root{Name: o.root + "/" + name, PID: t.next.Packages[name].PID})
		}
		if err := t.a.fill(ctx, t.client, t.next, t.results, &o); err != nil {
			return err
		}
	}
	start, err := t.a.start()
	if err != nil {
		return err
	}
	return t.lock.Add(t.next, t.a.home.Mount(), start)
}

// commandsOf returns the commands of a package: those that it declares, else the programs in bin.
func commandsOf(ctx context.Context, client *control.Client, request *nu.Result, id pir.PID) ([]string, error) {
	i := slices.IndexFunc(request.Packages, func(p nu.Package) bool { return p.PID == id })
	if i >= 0 {
		if p, err := pir.Decode(request.Packages[i].Canonical); err == nil && len(p.Commands()) > 0 {
			return p.Commands(), nil
		}
	}
	var entries []protocol.Entry
	err := client.Call(ctx, protocol.OpList, protocol.PathArgs{ID: id.String(), Path: "bin"}, &entries, nil)
	if protocol.CodeOf(err) == protocol.NotFound {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		if !strings.Contains(e.Path, "/") && (e.Kind == protocol.KindSymlink || e.Kind == protocol.KindFile && e.Exec) {
			out = append(out, e.Path)
		}
	}
	return out, err
}

// newPackage returns the entry of an evaluated package.
func newPackage(p asked, r *nu.Result) (profile.Package, error) {
	out := profile.Package{Asked: p.pkg, Args: p.args, PID: r.Root, Version: r.Version}
	var err error
	if isFile(p.pkg) {
		if out.Asked, err = filepath.Abs(p.pkg); err != nil {
			return out, err
		}
	}
	if p.set != "" {
		out.Set, err = filepath.Abs(p.set)
	}
	return out, err
}

// sayPath tells a user once a change is made how to find its commands, if PATH lacks them.
func (a *app) sayPath(dir *profile.Dir) {
	bin := filepath.Join(dir.Path(), profile.Current, "bin")
	if slices.Contains(filepath.SplitList(os.Getenv("PATH")), bin) {
		return
	}
	a.hint("PATH lacks " + bin + "; for bash, write into ~/.bashrc: eval \"$(nuka hook bash)\"; for other shells: nuka hook --help")
}

// changeText describes the change of a package in one line.
func changeText(c *profile.Change) string {
	label := func(p *profile.Package) string {
		if p.Version == "" {
			return p.PID.Short()
		}
		return p.Version
	}
	switch {
	case c.Old == nil:
		return fmt.Sprintf("+ %s %s", c.Name, label(c.New))
	case c.New == nil:
		return fmt.Sprintf("- %s %s", c.Name, label(c.Old))
	case label(c.Old) != label(c.New):
		return fmt.Sprintf("~ %s %s -> %s", c.Name, label(c.Old), label(c.New))
	case c.Old.PID != c.New.PID:
		return fmt.Sprintf("~ %s %s, described anew: %s -> %s", c.Name, label(c.New), c.Old.PID.Short(), c.New.PID.Short())
	case c.Old.Pinned != c.New.Pinned && c.New.Pinned:
		return fmt.Sprintf("~ %s %s, pinned", c.Name, label(c.New))
	case c.Old.Pinned != c.New.Pinned:
		return fmt.Sprintf("~ %s %s, no longer pinned", c.Name, label(c.New))
	}
	return fmt.Sprintf("~ %s %s, its files merged in another way", c.Name, label(c.New))
}

// A changed is a change of a package as --json writes it.
type changed struct {
	Name string  `json:"name"`
	Old  *listed `json:"old,omitempty"`
	New  *listed `json:"new,omitempty"`
}

// A listed is an installed package as --json writes it.
type listed struct {
	Name     string            `json:"name"`
	Version  string            `json:"version,omitempty"`
	PID      pir.PID           `json:"pid"`
	Package  string            `json:"package"`
	Args     []string          `json:"args,omitempty"`
	Set      string            `json:"set,omitempty"`
	Pinned   bool              `json:"pinned,omitempty"`
	Commands []string          `json:"commands,omitempty"`
	Priority int               `json:"priority,omitempty"`
	Leave    []string          `json:"leave,omitempty"`
	Rename   map[string]string `json:"rename,omitempty"`
}

func listedOf(name string, p *profile.Package) *listed {
	if p == nil {
		return nil
	}
	return &listed{
		Name: name, Version: p.Version, PID: p.PID, Package: p.Asked, Args: p.Args, Set: p.Set, Pinned: p.Pinned, Commands: p.Commands,
		Priority: p.Merge.Priority, Leave: p.Merge.Leave, Rename: p.Merge.Rename,
	}
}

func changedOf(changes []profile.Change) []changed {
	out := []changed{}
	for _, c := range changes {
		out = append(out, changed{c.Name, listedOf(c.Name, c.Old), listedOf(c.Name, c.New)})
	}
	return out
}

// A result of a change as --json writes it. Generation is 0 if nothing changed.
type changeResult struct {
	Profile    string         `json:"profile"`
	Generation int            `json:"generation"`
	Changes    []changed      `json:"changes"`
	Plan       *protocol.Plan `json:"plan,omitempty"`
}

// finish plans or carries out the change, and reports it.
func (t *transaction) finish(ctx context.Context) error {
	changes := t.changes()
	result := changeResult{Profile: t.dir.Name, Changes: changedOf(changes)}
	if t.o.dryRun {
		plan, err := t.plan(ctx)
		if err != nil {
			return err
		}
		if t.a.json {
			result.Plan = plan
			return t.a.terminal.json(result)
		}
		t.a.printChanges(changes, plan)
		return nil
	}
	if err := t.commit(ctx); err != nil {
		return err
	}
	result.Generation = t.next.Number
	if t.a.json {
		return t.a.terminal.json(result)
	}
	t.a.printChanges(changes, nil)
	t.a.say("generation %d of the profile %s", t.next.Number, t.dir.Name)
	if len(t.next.Packages) > 0 {
		t.a.sayPath(t.dir)
	}
	return nil
}

// printChanges prints changes and the plan to make them; plan may be nil.
func (a *app) printChanges(changes []profile.Change, plan *protocol.Plan) {
	for _, c := range changes {
		fmt.Fprintln(a.out, printable(changeText(&c)))
	}
	if plan != nil {
		for _, line := range planText(plan) {
			fmt.Fprintln(a.out, "  "+printable(line))
		}
	}
}
