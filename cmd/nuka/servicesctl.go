package main

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/service/deploy"
)

// This file changes what was applied: start, stop, restart, rollback, remove.

// A servicesChange is what a command that changes services has.
type servicesChange struct {
	dir     *deploy.Dir
	change  *deploy.Change
	current *deploy.Generation
}

// changing is locked for services that are there. Without a generation in use, the error has the code NotFound.
func (a *app) changing(ctx context.Context, o *servicesOptions, force bool, run func(*servicesChange) error) error {
	return a.locked(ctx, o, force, pir.PID{}, func(s *servicesChange) error {
		if s.current == nil {
			return nothingApplied(s.dir)
		}
		return run(s)
	})
}

// locked takes the right to change the services, finishes an interrupted change to the set want or takes it back, and calls run. The zero PID is no set.
func (a *app) locked(ctx context.Context, o *servicesOptions, force bool, want pir.PID, run func(*servicesChange) error) error {
	dir, err := a.servicesDir(o)
	if err != nil {
		return err
	}
	lock, err := dir.Lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	s := &servicesChange{dir: dir, change: a.change(dir, force)}
	if err := s.change.Recover(ctx, want); err != nil {
		return err
	}
	if s.current, err = dir.Current(); err != nil {
		return err
	}
	return run(s)
}

func nothingApplied(dir *deploy.Dir) error {
	return protocol.Errorf(protocol.NotFound, "no services are applied in %s", dir.Base()).WithHint("apply a set: nuka services apply ./services.nu")
}

// chosen returns the services that the words of a command name.
func chosen(g *deploy.Generation, words []string, all bool) ([]string, error) {
	var names []string
	for _, s := range g.Services() {
		names = append(names, s.Name)
	}
	switch {
	case all && len(words) > 0:
		return nil, usage("services: --all and %.80q: want one of them", words[0])
	case all:
		return names, nil
	case len(words) == 0:
		return nil, protocol.Errorf(protocol.Invalid, "services: NAME is missing").WithHint("the services are %s; or --all", strings.Join(names, ", "))
	}
	for _, name := range words {
		if !slices.Contains(names, name) {
			return nil, protocol.Errorf(protocol.NotFound, "there is no service %.80q", name).WithHint("the services are %s", strings.Join(names, ", "))
		}
	}
	return words, nil
}

// servicesControl is a command that takes names of services, and --all.
func (a *app) servicesControl(c *cobra.Command, run func(ctx context.Context, s *servicesChange, names []string) (*deploy.Result, error)) *cobra.Command {
	var o servicesOptions
	o.flags(c)
	all := c.Flags().Bool("all", false, "mean all services")
	force := c.Flags().Bool("force", false, "replace units that were changed by hand, and keep a copy of them")
	c.RunE = func(c *cobra.Command, words []string) error {
		return a.changing(c.Context(), &o, *force, func(s *servicesChange) error {
			names, err := chosen(s.current, words, *all)
			if err != nil {
				return err
			}
			r, err := run(c.Context(), s, names)
			return a.applied(s.dir, s.current, s.current, r, err)
		})
	}
	c.ValidArgsFunction = a.completeServices(&o)
	return c
}

// completeServices completes the names of services that are applied.
func (a *app) completeServices(o *servicesOptions) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(_ *cobra.Command, before []string, word string) (names []string, _ cobra.ShellCompDirective) {
		dir, err := a.servicesDir(o)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		g, _ := dir.Current() // none: nothing to choose from
		for _, s := range g.Services() {
			if strings.HasPrefix(s.Name, word) && !slices.Contains(before, s.Name) {
				names = append(names, s.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func (a *app) servicesStart() *cobra.Command {
	c := &cobra.Command{
		Use: "start [NAME…]", Short: "start services that were stopped", Args: cobra.ArbitraryArgs,
		Long:    `Start starts services, and waits until they are ready. They are started at boot again.`,
		Example: "  nuka services start web",
	}
	return a.servicesControl(c, func(ctx context.Context, s *servicesChange, names []string) (*deploy.Result, error) {
		if err := a.needManager(ctx, s.dir, s.current); err != nil {
			return nil, err
		}
		stopped, err := s.dir.Stopped()
		if err != nil {
			return nil, err
		}
		if err := s.dir.SetStopped(slices.DeleteFunc(stopped, func(name string) bool { return slices.Contains(names, name) })); err != nil {
			return nil, err
		}
		return s.change.Apply(ctx, s.current, s.current)
	})
}

func (a *app) servicesStop() *cobra.Command {
	c := &cobra.Command{
		Use: "stop [NAME…]", Short: "stop services, and keep them stopped", Args: cobra.ArbitraryArgs,
		Long:    `Stop stops services. They stay stopped, over reboots and later generations, until nuka services start.`,
		Example: "  nuka services stop web\n  nuka services stop --all",
	}
	return a.servicesControl(c, func(ctx context.Context, s *servicesChange, names []string) (*deploy.Result, error) {
		stopped, err := s.dir.Stopped()
		if err != nil {
			return nil, err
		}
		if err := s.dir.SetStopped(append(stopped, names...)); err != nil {
			return nil, err
		}
		return s.change.Apply(ctx, s.current, s.current)
	})
}

func (a *app) servicesRestart() *cobra.Command {
	c := &cobra.Command{
		Use: "restart [NAME…]", Short: "restart services, and wait until they are ready", Args: cobra.ArbitraryArgs,
		Long:    `Restart restarts services, for example after a secret has changed. Those that are stopped stay stopped.`,
		Example: "  nuka services restart web",
	}
	return a.servicesControl(c, func(ctx context.Context, s *servicesChange, names []string) (*deploy.Result, error) {
		stopped, err := s.dir.Stopped()
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if slices.Contains(stopped, name) {
				return nil, protocol.Errorf(protocol.Invalid, "the service %s is stopped", name).WithHint("start it: nuka services start %s", name)
			}
		}
		return s.change.Restart(ctx, s.current, names)
	})
}

func (a *app) servicesRollback() *cobra.Command {
	c := &cobra.Command{
		Use: "rollback [N]", Short: "bring an earlier generation of services into use", Args: rangeArgs(0, "N"),
		Long: `Rollback brings generation N into use as apply does, or without N the one before the current one that did not fail. What services have in their state folders stays
as it is: a generation whose programs are for an older version of a state (the field state) is refused without --force.`,
		Example: "  nuka services rollback\n  nuka services rollback 3",
	}
	var o servicesOptions
	o.flags(c)
	force := c.Flags().Bool("force", false, "replace units that were changed by hand, and keep a copy of them; give state to programs for an older version of it")
	c.RunE = func(c *cobra.Command, words []string) error {
		ctx := c.Context()
		return a.changing(ctx, &o, *force, func(s *servicesChange) error {
			to, err := rollbackTarget(s.dir, s.current, words)
			if err != nil {
				return err
			}
			client, err := a.connect(ctx)
			if err != nil {
				return err
			}
			defer client.Close()
			view, err := s.dir.See(s.current, to)
			if err != nil {
				return err
			}
			plan := deploy.NewPlan(s.current, to, view)
			if err := olderState(s.change, s.current, to); err != nil {
				return err
			}
			if err := a.checkPrograms(ctx, client, plan, to); err != nil {
				return err
			}
			if err := a.needManager(ctx, s.dir, to); err != nil {
				return err
			}
			r, err := s.change.Apply(ctx, s.current, to)
			if err := a.applied(s.dir, s.current, to, r, err); err != nil {
				return err
			}
			a.say("generation %d of the services is in use", to.Number)
			return nil
		})
	}
	return c
}

// rollbackTarget returns the generation that a user names, or the one before the current one that did not fail.
func rollbackTarget(dir *deploy.Dir, current *deploy.Generation, words []string) (*deploy.Generation, error) {
	if len(words) > 0 {
		n, err := generationNumber(words[0])
		if err != nil {
			return nil, err
		}
		return dir.Generation(n)
	}
	numbers, err := dir.Numbers()
	if err != nil {
		return nil, err
	}
	for _, n := range slices.Backward(numbers) {
		if n >= current.Number {
			continue
		}
		if g, err := dir.Generation(n); err != nil || g.Failed == "" {
			return g, err
		}
	}
	return nil, protocol.Errorf(protocol.NotFound, "there is no generation before %d that did not fail", current.Number).WithHint("all generations: nuka services history")
}

func (a *app) servicesRemove() *cobra.Command {
	c := &cobra.Command{
		Use: "remove", Short: "stop all services, and forget their generations", Args: exactArgs(),
		Long: `Remove stops all services, takes their units away from the service manager, and forgets all generations. The state and the logs of services stay where they are.
To remove one service, take it out of the set, and apply that.`,
	}
	var o servicesOptions
	o.flags(c)
	force := c.Flags().Bool("force", false, "remove units that were changed by hand, and keep a copy of them")
	a.yesFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		ctx := c.Context()
		return a.locked(ctx, &o, *force, pir.PID{}, func(s *servicesChange) error {
			numbers, err := s.dir.Numbers()
			if err != nil {
				return err
			}
			if len(numbers) == 0 {
				return nothingApplied(s.dir)
			}
			if err := a.confirm(c, "this stops "+counted(len(s.current.Services()), "service")+" and forgets all generations; state and logs stay in "+s.dir.Base()); err != nil {
				return err
			}
			if s.current != nil { // else a removal was interrupted, or nothing was ever ready
				if _, err := s.change.Apply(ctx, s.current, nil); err != nil {
					return err
				}
			}
			if err := s.dir.SetStopped(nil); err != nil {
				return err
			}
			return a.forget(ctx, s.dir, numbers)
		})
	}
	return c
}

// forget removes the records of generations, and then the roots of all that have no record any more: also those that an interrupted command has left.
func (a *app) forget(ctx context.Context, dir *deploy.Dir, numbers []int) error {
	for _, n := range numbers {
		if err := dir.Drop(n); err != nil {
			return err
		}
	}
	left, err := dir.Numbers()
	if err != nil {
		return err
	}
	client, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	var list []protocol.Root
	if err := client.Call(ctx, protocol.OpRoots, protocol.RootsArgs{List: true, Prefix: dir.RootPrefix()}, &list, nil); err != nil {
		return err
	}
	var gone protocol.RootsArgs
	for _, r := range list {
		if n, err := strconv.Atoi(strings.TrimPrefix(r.Name, dir.RootPrefix())); err != nil || !slices.Contains(left, n) {
			gone.Delete = append(gone.Delete, r.Name)
		}
	}
	if len(gone.Delete) == 0 {
		return nil
	}
	return client.Call(ctx, protocol.OpRoots, gone, nil, nil)
}

// oldServices removes all generations of services but the newest n and those that run, with their roots.
func (a *app) oldServices(ctx context.Context, n int) error {
	if a.node != "" || a.user == "" {
		return nil // the services are on another machine, or there are none
	}
	dir, err := a.servicesDir(&servicesOptions{})
	if err != nil {
		return err
	}
	if numbers, err := dir.Numbers(); len(numbers) == 0 || err != nil {
		return err
	}
	lock, err := dir.Lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	if dir.Interrupted() {
		a.say("the last change of services was interrupted: their generations stay")
		return nil
	}
	old, err := dir.Old(n)
	if err != nil {
		return err
	}
	return a.forget(ctx, dir, old)
}
