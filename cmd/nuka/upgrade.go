package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/protocol"
)

func (a *app) upgradeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "upgrade [NAME…]",
		Short: "bring installed packages up to date with their package files",
		Long: `Upgrade evaluates the installed packages again, as they were asked for, and shows what would change: versions, and the packages to fetch,
build or receive. It asks before it changes anything. It leaves pinned packages as they are. Nothing upgrades by itself.

With --security it upgrades only packages whose upgrade clears a finding of nuka audit, and shows which findings go and which stay.`,
		Example: "  nuka upgrade --dry-run\n  nuka upgrade lua\n  nuka upgrade --yes\n  nuka upgrade --security --plan",
	}
	var o profileOptions
	o.build.flags(c)
	o.nameFlag(c)
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "print the changes and the plan, and change nothing")
	security := c.Flags().Bool("security", false, "upgrade only what clears a known vulnerability")
	c.Flags().BoolVar(&o.dryRun, "plan", false, "the same as --dry-run")
	c.Flags().BoolVar(&a.offline, "offline", false, "use no network")
	a.yesFlag(c)
	a.jsonFlag(c)
	c.ValidArgsFunction = a.completeInstalled(&o)
	c.RunE = func(c *cobra.Command, names []string) error {
		if *security {
			return a.upgradeSecurity(c, names, &o)
		}
		return a.upgrade(c, names, &o)
	}
	return c
}

func (a *app) upgrade(c *cobra.Command, names []string, o *profileOptions) error {
	ctx := c.Context()
	t, err := a.begin(ctx, o, strings.TrimSpace("upgrade "+strings.Join(names, " ")))
	if err != nil {
		return err
	}
	defer t.close()
	pinned, err := t.evaluate(ctx, names)
	if err != nil {
		return err
	}
	changes := t.changes()
	if len(changes) == 0 || o.dryRun {
		if len(pinned) > 0 && !a.json {
			a.say("pinned: %s", strings.Join(pinned, ", "))
		}
	}
	if len(changes) == 0 {
		if a.json {
			return a.terminal.json(changeResult{Profile: o.name, Changes: []changed{}})
		}
		a.say("everything is up to date")
		return nil
	}
	if o.dryRun {
		return t.finish(ctx)
	}
	plan, err := t.plan(ctx)
	if err != nil {
		return err
	}
	if !a.yes && !a.json {
		a.printChanges(changes, plan)
	}
	if err := a.confirm(c, upgradeMeans(len(changes), plan)); err != nil {
		return err
	}
	return t.finish(ctx)
}

// upgradeMeans describes an upgrade in one line.
func upgradeMeans(changes int, plan *protocol.Plan) string {
	made, received, bytes := 0, 0, int64(0)
	for _, s := range plan.Steps {
		switch s.How {
		case protocol.Make:
			if s.What.Long() {
				made++
			}
		case protocol.Receive:
			received++
			bytes += s.Size
		case protocol.Reuse, protocol.Keep, protocol.Impossible:
		}
	}
	text := fmt.Sprintf("this changes %d packages", changes)
	if changes == 1 {
		text = "this changes 1 package"
	}
	if made > 0 {
		text += fmt.Sprintf("; steps to fetch and build: %d", made)
	}
	if received > 0 {
		text += fmt.Sprintf("; packages to receive from other nodes: %d, %s", received, size(bytes))
	}
	return text
}

// evaluate evaluates the named packages again, or all without names. It returns the pinned packages, which it leaves.
func (t *transaction) evaluate(ctx context.Context, names []string) (pinned []string, err error) {
	wanted := names
	if len(wanted) == 0 {
		wanted = t.next.Names()
	}
	for _, name := range wanted {
		if err := t.mustHave(name); err != nil {
			return nil, err
		}
		old := t.next.Packages[name]
		if old.Pinned {
			pinned = append(pinned, name)
			continue
		}
		results, err := t.a.evalEach(ctx, []asked{{pkg: old.Asked, args: old.Args, set: old.Set}})
		if err != nil {
			var wrong *nu.Error
			if errors.As(err, &wrong) {
				t.a.say("%s cannot be evaluated", name)
				return nil, err
			}
			return nil, protocol.Errorf(protocol.CodeOf(err), "%s: %w", name, err).WithHint("to leave it as it is: nuka pin %s", name)
		}
		p, err := newPackage(asked{pkg: old.Asked, args: old.Args, set: old.Set}, results[0])
		if err != nil {
			return nil, err
		}
		t.results = append(t.results, results...)
		p.Merge = old.Merge
		if p.PID == old.PID {
			p.Commands = old.Commands
		}
		if results[0].Name != name {
			delete(t.next.Packages, name)
		}
		t.next.Packages[results[0].Name] = p
	}
	return pinned, nil
}
