package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/service"
	"github.com/MordragT/nuka/service/deploy"
)

// servicesOptions are the flags of the commands for services that were applied.
type servicesOptions struct {
	state  string
	system bool
}

func (o *servicesOptions) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.state, "state", "", "the state of services is below the folder `DIR`")
	c.Flags().BoolVar(&o.system, "system", false, "mean the services of the machine, not those of the user")
}

// servicesDir returns the folder of services.
func (a *app) servicesDir(o *servicesOptions) (*deploy.Dir, error) {
	if err := a.ownNode("services"); err != nil {
		return nil, err
	}
	if o.system && o.state == "" {
		return deploy.Open(systemState()), nil
	}
	base, err := a.servicesBase(o.state)
	if err != nil {
		return nil, err
	}
	return deploy.Open(base), nil
}

// change returns the tool that brings generations of a folder into use.
func (a *app) change(dir *deploy.Dir, force bool) *deploy.Change {
	return &deploy.Change{
		Dir: dir, Force: force,
		Open: func(g *deploy.Generation) (deploy.Manager, error) { return a.openManager(dir, g) },
		Event: func(name, text string) {
			a.say("%s", strings.TrimSpace(name+" "+text))
		},
	}
}

// applyOptions are the flags of plan and apply.
type applyOptions struct {
	servicesOptions
	as, scan string
}

func (o *applyOptions) flags(c *cobra.Command) {
	o.servicesOptions.flags(c)
	c.Flags().StringVar(&o.as, "as", "", "let the service manager `MANAGER` keep them running: "+strings.Join(serviceManagers(), ", "))
	c.Flags().StringVar(&o.scan, "scan", "", "with runit and s6: the folder of links `DIR` that runsvdir or s6-svscan looks at")
}

// next makes a set present, and returns the generation that it would be.
func (a *app) next(ctx context.Context, dir *deploy.Dir, t *thing, o *applyOptions, current *deploy.Generation) (*control.Client, *deploy.Generation, error) {
	client, id, text, err := a.serviceText(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	g, err := a.generation(ctx, dir, id, text, o, current)
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return client, g, nil
}

func (a *app) generation(ctx context.Context, dir *deploy.Dir, id pir.PID, text []byte, o *applyOptions, current *deploy.Generation) (*deploy.Generation, error) {
	number, err := dir.Next()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	picked, err := a.pickManager(ctx, o, current)
	if err != nil {
		return nil, err
	}
	m := &deploy.Making{Set: id, Text: string(text), Manager: picked.Manager, System: picked.System, Scan: picked.Scan, Yes: a.yes || current != nil && current.Yes}
	manager, err := a.openManager(dir, picked)
	if err != nil {
		return nil, err
	}
	m.Units = func(s *service.Service, from int) ([]service.Unit, error) {
		l := &service.Launcher{Argv: []string{self, "services", "exec", fmt.Sprintf("%s@%d", s.Name, from), "--state", dir.Base()}, User: !picked.System}
		if os.Getenv("NUKA_HOME") != "" {
			l.Env = []string{"NUKA_HOME=" + a.home.Data}
		}
		return manager.Units(s, l)
	}
	g, err := deploy.New(current, number, m)
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "%w", err)
	}
	return g, nil
}

func (a *app) servicesPlan() *cobra.Command {
	c := &cobra.Command{
		Use: "plan PKG [flags of the package]", Short: "show what apply would do with each service, and why",
		Long:    `Plan builds the set, and shows what apply would start, stop, restart or reload, with the fields that differ. It changes nothing else.`,
		Example: "  nuka services plan ./services.nu",
	}
	var o applyOptions
	o.flags(c)
	a.jsonFlag(c)
	return a.namedCommand(c, false, func(c *cobra.Command, t *thing, _ string) error {
		dir, err := a.servicesDir(&o.servicesOptions)
		if err != nil {
			return err
		}
		current, err := dir.Current()
		if err != nil {
			return err
		}
		client, g, err := a.next(c.Context(), dir, t, &o, current)
		if err != nil {
			return err
		}
		defer client.Close()
		view, err := dir.See(current, g)
		if err != nil {
			return err
		}
		plan := deploy.NewPlan(current, g, view)
		if a.json {
			return a.terminal.json(plan)
		}
		if dir.Interrupted() {
			a.say("a change is under way, or was interrupted: the next one finishes it or takes it back first")
		}
		if len(plan.Steps) == 0 {
			a.say("nothing changes")
		}
		for _, s := range plan.Steps {
			fmt.Fprintf(a.out, "%s %s\n", s.Action, s.Service)
			for _, why := range s.Why {
				fmt.Fprintf(a.out, "  %s\n", printable(why))
			}
		}
		return nil
	})
}

func (a *app) servicesApply() *cobra.Command {
	c := &cobra.Command{
		Use: "apply PKG [flags of the package]", Short: "bring a set of services into use",
		Long: `Apply builds the set, writes units for the service manager, stops what is not in the set any more, starts and restarts what differs, each service after
those that it needs, and waits until they are ready. If one that ran well before is not ready in time, the services of the generation before are brought back. A new
one that is not ready is told, and the others stay.

Apply uses systemd's manager of the user where it runs, with --system the manager of the machine, and else nuka's own: start nuka services run first. --as chooses
another one, which later changes keep. A set that is applied already changes nothing.`,
		Example: "  nuka services apply ./services.nu\n  nuka services apply ./services.nu --as nuka\n  nuka services apply ./services.nu --as runit --scan ~/service",
	}
	var o applyOptions
	o.flags(c)
	force := c.Flags().Bool("force", false, "replace units that were changed by hand, and keep a copy of them; give state to programs for an older version of it")
	a.yesFlag(c)
	return a.namedCommand(c, false, func(c *cobra.Command, t *thing, _ string) error {
		ctx := c.Context()
		want, err := pir.ParsePID(t.id)
		if err != nil {
			return protocol.Errorf(protocol.Invalid, "services: %.80q is no PID and no package file", t.id)
		}
		return a.locked(ctx, &o.servicesOptions, *force, want, func(s *servicesChange) error {
			client, g, err := a.next(ctx, s.dir, t, &o, s.current)
			if err != nil {
				return err
			}
			defer client.Close()
			return a.applyGeneration(ctx, client, s.change, s.current, g)
		})
	})
}

// applyGeneration brings a new generation into use.
func (a *app) applyGeneration(ctx context.Context, client *control.Client, change *deploy.Change, current, g *deploy.Generation) error {
	view, err := change.Dir.See(current, g)
	if err != nil {
		return err
	}
	plan := deploy.NewPlan(current, g, view)
	pending, err := change.Pending(plan, current, g)
	if err != nil {
		return err
	}
	if !pending {
		a.say("nothing changes: generation %d is in use", current.Number)
		return nil
	}
	if err := olderState(change, current, g); err != nil {
		return err
	}
	if err := a.checkPrograms(ctx, client, plan, g); err != nil {
		return err
	}
	if err := a.needManager(ctx, change.Dir, g); err != nil {
		return err
	}
	if err := change.Check(current, g); err != nil {
		return err
	}
	target := current
	if !current.Same(g) {
		target = g
		root := protocol.RootsArgs{Put: []protocol.Root{{Name: change.Dir.RootName(g.Number), PID: g.Set}}}
		if err := client.Call(ctx, protocol.OpRoots, root, nil, nil); err != nil {
			return err
		}
		if err := change.Dir.Put(g); err != nil {
			return err
		}
	}
	result, err := change.Apply(ctx, current, target)
	if err := a.applied(change.Dir, current, target, result, err); err != nil {
		return err
	}
	a.say("generation %d of the services is in use", target.Number)
	a.lingering(target)
	return nil
}

// olderState returns an error if a change gives state to programs for an older form of it, and the user has not said that it may.
func olderState(change *deploy.Change, from, to *deploy.Generation) error {
	lines := deploy.OlderState(from, to)
	if len(lines) == 0 || change.Force {
		return nil
	}
	return protocol.Errorf(protocol.Denied, "services: %s", strings.Join(lines, "; ")).WithHint("nuka never changes state back; if the older program can read it, or you have put an older copy in its place: --force")
}

// checkPrograms asks the node for the programs of services that start, before anything is stopped for them.
func (a *app) checkPrograms(ctx context.Context, client *control.Client, plan *deploy.Plan, g *deploy.Generation) error {
	for _, step := range plan.Steps {
		if step.Action != deploy.Start && step.Action != deploy.Restart {
			continue
		}
		s := g.Service(step.Service)
		if _, err := askProgram(ctx, client, protocol.ProgramArgs{PID: s.Package.PID, Command: s.Command}); err != nil {
			return fmt.Errorf("service %s: %w", s.Name, err)
		}
	}
	return nil
}

// applied tells how a change ended, and returns its error.
func (a *app) applied(dir *deploy.Dir, from, to *deploy.Generation, r *deploy.Result, err error) error {
	if r == nil {
		return err
	}
	tell := func(failures []deploy.Failure) {
		for _, f := range failures {
			a.say("%s %s", f.Service, f.Why)
			for _, line := range f.Log {
				fmt.Fprintf(a.err, "  %s | %s\n", f.Service, printable(line))
			}
		}
	}
	tell(r.Failures)
	if len(r.BackFailures) > 0 {
		a.say("and going back:")
		tell(r.BackFailures)
	}
	switch {
	case err != nil:
		return err
	case r.Back && from == nil:
		return protocol.Errorf(protocol.Failed, "generation %d failed, and nothing runs, as before", to.Number)
	case r.Back:
		return protocol.Errorf(protocol.Failed, "generation %d failed, and generation %d is in use again", to.Number, from.Number).WithHint("their logs: nuka services logs NAME; all generations: nuka services history")
	case len(r.Failures) > 0:
		var names []string
		for _, f := range r.Failures {
			names = append(names, f.Service)
		}
		return protocol.Errorf(protocol.Failed, "not ready: %s", strings.Join(slices.Compact(names), ", ")).WithHint("the other services run; see: nuka services status")
	}
	return nil
}

// lingering says so if the services end when the user logs out.
func (a *app) lingering(g *deploy.Generation) {
	if g.Manager != systemd || g.System {
		return
	}
	name := os.Getenv("USER")
	if name == "" || strings.ContainsRune(name, '/') {
		return
	}
	const linger = "/var/lib/systemd/linger"
	if _, err := os.Stat(filepath.Join(linger, name)); err != nil {
		a.say("the services of %s stop when %[1]s logs out; to keep them running, and start them at boot: loginctl enable-linger", name)
	}
}
